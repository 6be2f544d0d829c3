// Tests the docs portal in a real browser that can reach no other host.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { checkedIn, serveSite, startServices } from './platform.mjs';

let services;
let browser;
before(async () => {
  services = await startServices();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  });
});
after(async () => {
  await browser?.close();
  await services?.stop();
});

/// Opens `url`, calls `use` with the page, and fails if the page requested another host, violated its content security
/// policy, or reported an error. Returns the requested URLs.
async function openPage(url, use, { width = 1440, colorScheme = 'light' } = {}) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } });
  const requested = [];
  const problems = [];
  context.on('request', (request) => requested.push(request.url()));
  context.on('weberror', (error) => problems.push(`${error.error()}`));
  context.on('console', (message) => {
    const failed = ['error', 'warning'].includes(message.type());
    // The browser reports each response with an error status, and the tests cause some.
    if (failed && !message.text().includes('the server responded with a status of')) problems.push(message.text());
  });
  await context.exposeBinding('reportProblem', (_, problem) => problems.push(problem));
  await context.addInitScript(() =>
    addEventListener('securitypolicyviolation', (event) =>
      globalThis.reportProblem(`${event.effectiveDirective} forbids ${event.blockedURI}`),
    ),
  );
  const page = await context.newPage();
  await page.goto(url);
  await use(page);
  await context.close();
  assert.deepEqual([...new Set(problems)], []);
  const otherHosts = requested.filter((url) => !/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(url));
  assert.deepEqual(otherHosts, []);
  assert.ok(requested.length >= 4, `expected requests for the page, two scripts and a document: ${requested}`);
  return requested;
}

/// Opens an operation by its summary in the side bar.
async function goTo(page, summary) {
  const menu = page.getByRole('button', { name: 'Open Menu' });
  const entry = page.getByRole('link', { name: summary });
  await entry.or(menu).first().waitFor();
  if (await menu.isVisible()) await menu.click();
  await entry.click();
  await page.getByRole('heading', { name: summary }).waitFor();
}

/// Sends an operation's example from the console. Returns the part of the page that shows the response.
async function send(page, operation) {
  await page.getByRole('button', { name: `Test Request (${operation})` }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: /^Send .* request/ }).click();
  return dialog.getByRole('region', { name: 'Response' });
}

/// Screenshots are for people to inspect.
const screenshot = (page, name) => page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });

test('the test browser reaches no other host', async () => {
  const page = await browser.newPage();
  await assert.rejects(page.goto('http://example.com/'), /ERR_NAME_NOT_RESOLVED/);
  await page.close();
});

test('an operation can be found and tried on a wide light screen', async () => {
  const requested = await openPage(services.docs['user-service'], async (page) => {
    await page.getByRole('heading', { name: 'User Service' }).waitFor();
    await screenshot(page, 'user-service-light-wide');
    await goTo(page, 'Create a user');
    await screenshot(page, 'user-service-light-wide-operation');
    const response = await send(page, 'post /api/v1/users');
    await response.getByText('201 Created').waitFor();
    await response.getByText('"user@example.com"').waitFor();
    await screenshot(page, 'user-service-light-wide-response');
  });
  const origin = new URL(services.docs['user-service']).origin;
  assert.ok(requested.includes(`${origin}/api/v1/users`), `${requested}`);
});

test('an operation can be found and tried on a narrow dark screen', async () => {
  const narrow = { width: 390, colorScheme: 'dark' };
  await openPage(services.docs['order-service'], async (page) => {
    await page.getByRole('heading', { name: 'Order Service' }).waitFor();
    await screenshot(page, 'order-service-dark-narrow');
    await goTo(page, 'List orders');
    await screenshot(page, 'order-service-dark-narrow-operation');
    const response = await send(page, 'get /api/v1/orders');
    await response.getByText('200 OK').waitFor();
    await response.getByText('"items"').waitFor();
    await response.getByText('"items"').scrollIntoViewIfNeeded();
    await screenshot(page, 'order-service-dark-narrow-response');
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(overflow, 0, 'nothing is wider than the screen');
  }, narrow);
});

test('the page fits narrow light and wide dark screens', async () => {
  for (const [name, screen] of [
    ['narrow-light', { width: 390, colorScheme: 'light' }],
    ['wide-dark', { width: 1440, colorScheme: 'dark' }],
  ]) {
    await openPage(services.docs['order-service'], async (page) => {
      await page.getByRole('heading', { name: 'Order Service' }).waitFor();
      await goTo(page, 'Place an order');
      await screenshot(page, `order-service-${name}-operation`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.equal(overflow, 0, 'nothing is wider than the screen');
    }, screen);
  }
});

test('the page offers the checked-in document, byte for byte', async () => {
  for (const [service, url] of Object.entries(services.docs)) {
    await openPage(url, async (page) => {
      const link = page.getByRole('link', { name: 'Download OpenAPI Document' });
      const response = await fetch(await link.getAttribute('href'));
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), checkedIn(service));
    });
  }
});

test('the policy of the page forbids requests to another origin', async () => {
  const otherOrigin = new URL('/health', services.docs['order-service']).href;
  const opened = openPage(services.docs['user-service'], async (page) => {
    await page.getByRole('heading', { name: 'User Service' }).waitFor();
    await page.evaluate((url) => {
      const violation = new Promise((resolve) => addEventListener('securitypolicyviolation', resolve));
      return Promise.all([violation, fetch(url).catch(() => {})]).then(() => {});
    }, otherOrigin);
  });
  await assert.rejects(opened, /connect-src forbids/);
});

/** Chooses another document than the first, which the site shows at first. */
async function choose(page, title) {
  await page.getByRole('button', { name: 'Notification Service' }).click();
  await page.getByRole('option', { name: title, exact: true }).click();
}

test('the site shows the documents of all services', async (t) => {
  const site = await serveSite();
  t.after(site.stop);
  await openPage(site.url, async (page) => {
    await page.getByRole('heading', { name: 'Notification Service' }).waitFor();
    await screenshot(page, 'site-light-wide');
    await choose(page, 'User Service');
    await goTo(page, 'Create a user');
    await page.getByText('--request POST').waitFor();
    assert.equal(await page.getByRole('button', { name: /Test Request/ }).count(), 0);
    await screenshot(page, 'site-light-wide-operation');
  });
});

test('the site has a console if the web server forwards requests', async (t) => {
  const site = await serveSite({ upstreams: services.docs });
  t.after(site.stop);
  const requested = await openPage(site.url, async (page) => {
    await page.getByRole('heading', { name: 'Notification Service' }).waitFor();
    await choose(page, 'Order Service');
    await goTo(page, 'List orders');
    const response = await send(page, 'get /api/v1/orders');
    await response.getByText('200 OK').waitFor();
    await response.getByText('"items"').waitFor();
  }, { colorScheme: 'dark' });
  assert.ok(requested.some((url) => url.startsWith(`${site.url}order-service/api/v1/orders`)), `${requested}`);
});
