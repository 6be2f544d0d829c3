//! Takes Scalar's script from the crate that carries it, so that nothing is vendored and no Node is needed, and packs
//! it for the wire.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::{Compression, Crc, write::GzEncoder};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let script = scalar_api_reference::get_asset("scalar.js").ok_or("the crate has no scalar.js")?;

    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&script)?;
    let directory = env::var("OUT_DIR")?;
    fs::write(Path::new(&directory).join("scalar.js.gz"), packed.finish()?)?;

    let mut checksum = Crc::new();
    checksum.update(&script);
    println!("cargo:rustc-env=SCALAR_CHECKSUM={:08x}", checksum.sum());
    Ok(())
}
