// Tests that `npm run check` reports every kind of difference between src/generated and the documents.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const CLIENT = "clients/typescript";
const GENERATED = `${CLIENT}/src/generated`;

/** Copies the documents, the generator and the generated files to a temporary directory. */
async function checkout(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), "generate-"));
  t.after(() => rm(root, { recursive: true }));
  for (const path of ["openapi", GENERATED, `${CLIENT}/scripts`]) {
    await cp(join(ROOT, path), join(root, path), { recursive: true });
  }
  await symlink(join(ROOT, CLIENT, "node_modules"), join(root, CLIENT, "node_modules"));

  const run = (...flags: string[]) => {
    const script = join(root, CLIENT, "scripts/generate.mjs");
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...flags], { encoding: "utf8" });
    return { status, output: stdout + stderr };
  };
  const read = (path: string) => readFile(join(root, path), "utf8");
  const write = (path: string, text: string) => writeFile(join(root, path), text);
  return {
    generate: () => assert.equal(run().status, 0),
    /** Returns the report of the check; empty if it passes. */
    check() {
      const { status, output } = run("--check");
      assert.equal(status, output === "" ? 0 : 1, output);
      return output;
    },
    async edit(path: string, from: string, to: string) {
      const text = await read(path);
      assert.ok(text.includes(from), from);
      await write(path, text.replace(from, to));
    },
    read,
    add: (path: string) => write(path, ""),
    remove: (path: string) => rm(join(root, path)),
  };
}

test("check reports every difference and generate fixes it", async (t) => {
  const tree = await checkout(t);
  await tree.edit("openapi/order-service.json", '"List orders"', '"List all orders"');
  await tree.edit(`${GENERATED}/user-service.ts`, "email: components", "email?: components");
  await tree.remove(`${GENERATED}/error-code.ts`);
  await tree.add(`${GENERATED}/product-service.ts`);

  const report = tree.check();
  for (const part of [
    `${GENERATED}/order-service.ts differs from openapi/`,
    "-         * List orders",
    "+         * List all orders",
    `${GENERATED}/user-service.ts differs from openapi/`,
    "-            email?: components",
    `${GENERATED}/error-code.ts is missing`,
    `${GENERATED}/product-service.ts is not generated from anything: delete it`,
    "npm run generate",
  ]) {
    assert.ok(report.includes(part), `no ${JSON.stringify(part)} in: ${report}`);
  }

  await tree.remove(`${GENERATED}/product-service.ts`);
  tree.generate();
  assert.equal(tree.check(), "");
});

test("a new error code becomes a documented constant", async (t) => {
  const tree = await checkout(t);
  const document = "openapi/user-service.json";
  const described = "`too_late`: Gone.\\n\\n`word`: Else.\\n\\n";
  await tree.edit(document, '"description": "`idempotency_key_in_use`: ', `"description": "${described}\`idempotency_key_in_use\`: `);
  await tree.edit(document, '"idempotency_key_in_use": {', '"too_late": {}, "idempotency_key_in_use": {');
  tree.generate();
  const generated = await tree.read(`${GENERATED}/error-code.ts`);
  assert.match(generated, /\/\*\*\n   \* 409 of user_create: Gone\.\n   \*\/\n  too_late: "too_late",\n/);
  assert.ok(!generated.includes("word:"), "a name without an example is not an error code");
});
