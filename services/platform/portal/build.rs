//! Takes Scalar's script from the crate that contains it, so that nothing is vendored and Node is not needed, and
//! compresses it.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::{Compression, Crc, write::GzEncoder};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let script = scalar_api_reference::get_asset("scalar.js").ok_or("the crate has no scalar.js")?;

    let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
    compressed.write_all(&script)?;
    let directory = env::var("OUT_DIR")?;
    fs::write(Path::new(&directory).join("scalar.js.gz"), compressed.finish()?)?;

    let mut checksum = Crc::new();
    checksum.update(&script);
    println!("cargo:rustc-env=SCALAR_CHECKSUM={:08x}", checksum.sum());
    Ok(())
}
