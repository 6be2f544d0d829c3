// Joins the examples of the README into one program, compiles it in strict mode, and runs it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startPlatform } from "./platform.js";

const CLIENT = fileURLToPath(new URL("..", import.meta.url));

test("the examples of the README compile and run", async (t) => {
  const platform = await startPlatform();
  t.after(() => platform.stop());
  const readme = await readFile(join(CLIENT, "README.md"), "utf8");
  const program = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, example]) => example).join("\n");
  // Inside the package, its own name resolves through the `exports` of package.json.
  const directory = join(CLIENT, "build/readme");
  await mkdir(directory, { recursive: true });
  await writeFile(
    join(directory, "readme.ts"),
    program
      .replaceAll("http://127.0.0.1:8001", platform.userServiceUrl)
      .replaceAll("http://127.0.0.1:8002", platform.productServiceUrl)
      .replaceAll("http://127.0.0.1:8003", platform.orderServiceUrl),
  );
  const node = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: directory, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
    return stdout;
  };
  const settings = { extends: "../../tsconfig.base.json", compilerOptions: { lib: ["ES2022", "DOM"], types: [] } };
  await writeFile(join(directory, "tsconfig.json"), JSON.stringify(settings));
  node(join(CLIENT, "node_modules/typescript/bin/tsc"), "--project", ".");

  const lines = node("readme.js").split("\n");
  assert.equal(lines[0], "Jane Doe ordered 2 of Blue mug: created");
  assert.equal(lines[1], "Please choose another e-mail address.");
  assert.equal(lines[2], "user_not_found");
});
