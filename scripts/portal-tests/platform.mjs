// Starts the real services, and a web server for the static site.

import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

const root = path.resolve(import.meta.dirname, '../..');

/// The entries of services/platform.toml, in the order in which all-in-one starts the services.
const { service: services } = JSON.parse(
  execFileSync('cargo', ['topology', 'list'], { cwd: root, encoding: 'utf8' }),
);

/// The checked-in document of `service`.
export const checkedIn = (service) => readFileSync(path.join(root, 'openapi', `${service}.json`));

const temporaryFolder = () => mkdtempSync(path.join(tmpdir(), 'portal-'));

/// Starts all-in-one on free ports. `docs` holds the links to the docs that it prints, by service.
export async function startServices() {
  const folder = temporaryFolder();
  const variable = ({ name }) => `${name.replaceAll('-', '_').toUpperCase()}_LISTEN_ADDRESS`;
  const environment = Object.fromEntries(services.map((service) => [variable(service), '127.0.0.1:0']));
  const child = spawn(process.env.ALL_IN_ONE, { cwd: folder, env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
  const links = [];
  for await (const line of createInterface(child.stderr)) {
    const link = line.trim();
    if (link.endsWith('/docs')) links.push(link);
    if (line.startsWith('Ctrl-C')) break;
  }
  child.stderr.resume();
  const docs = Object.fromEntries(services.map(({ name }, index) => [name, links[index]]));
  const stop = async () => {
    child.kill('SIGINT');
    if (child.exitCode === null) await once(child, 'exit');
    rmSync(folder, { recursive: true });
  };
  return { docs, stop };
}

/// Builds the static site with `scripts/portal` and serves it below a path. With `upstreams` (links by service) the
/// site has a console, and the server forwards requests below a service's folder to the service.
export async function serveSite({ upstreams } = {}) {
  const folder = temporaryFolder();
  execFileSync(path.join(root, 'scripts/portal'), upstreams ? ['--console', folder] : [folder]);
  const base = '/some/where/';
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json' };
  const server = http.createServer(async (request, response) => {
    const name = request.url.slice(base.length) || 'index.html';
    const [service, ...rest] = name.split('/');
    if (upstreams?.[service]) {
      const target = new URL(rest.join('/'), upstreams[service]);
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
