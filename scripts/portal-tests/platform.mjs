// What the tests stand on: the real services, and a web server for the static site.

import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

const root = path.resolve(import.meta.dirname, '../..');

/// The checked-in document of `service`.
export const checkedIn = (service) => readFileSync(path.join(root, 'openapi', `${service}.json`));

const temporaryFolder = () => mkdtempSync(path.join(tmpdir(), 'portal-'));

/// Starts all-in-one on free ports, as `cargo run` does. `docs` is what it prints: the links, by service.
export async function startServices() {
  const folder = temporaryFolder();
  const environment = { USER_SERVICE_LISTEN_ADDRESS: '127.0.0.1:0', ORDER_SERVICE_LISTEN_ADDRESS: '127.0.0.1:0' };
  const child = spawn(process.env.ALL_IN_ONE, { cwd: folder, env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
  const docs = {};
  for await (const line of createInterface(child.stderr)) {
    const link = line.trim();
    if (link.endsWith('/docs')) docs[Object.keys(docs).length === 0 ? 'user-service' : 'order-service'] = link;
    if (line.startsWith('Ctrl-C')) break;
  }
  child.stderr.resume();
  const stop = async () => {
    child.kill('SIGINT');
    if (child.exitCode === null) await once(child, 'exit');
    rmSync(folder, { recursive: true });
  };
  return { docs, stop };
}

/// Builds the static site with `scripts/portal` and serves it under a path, as any web server would. With `services`
/// (their links by name) it has a console, and what is below a service's folder is passed on to the service.
export async function serveSite({ services } = {}) {
  const folder = temporaryFolder();
  execFileSync(path.join(root, 'scripts/portal'), services ? ['--console', folder] : [folder]);
  const base = '/some/where/';
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json' };
  const server = http.createServer(async (request, response) => {
    const name = request.url.slice(base.length) || 'index.html';
    const [service, ...rest] = name.split('/');
    if (services?.[service]) {
      const target = new URL(rest.join('/'), services[service]);
      const upstream = http.request(target, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      upstream.end(await text(request));
    } else {
      try {
        const bytes = readFileSync(path.join(folder, name));
        response.writeHead(200, { 'content-type': types[path.extname(name)] }).end(bytes);
      } catch {
        response.writeHead(404).end();
      }
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const stop = () => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  };
  return { url: `http://127.0.0.1:${server.address().port}${base}`, stop };
}
