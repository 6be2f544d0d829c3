// The docs portal as a reader meets it, in a real browser that reaches no host but this one.

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

/// Opens `url` and lets `use` read it; fails if the page asked another host for anything, broke its own policy, or
/// threw an error.
async function read(url, use, { width = 1440, colorScheme = 'light' } = {}) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } });
  const asked = [];
  const complaints = [];
  context.on('request', (request) => asked.push(request.url()));
  context.on('weberror', (error) => complaints.push(`${error.error()}`));
  context.on('console', (message) => {
    const failed = ['error', 'warning'].includes(message.type());
    // The browser notes each answer with an error status; the tests provoke some.
    if (failed && !message.text().includes('the server responded with a status of')) complaints.push(message.text());
  });
  await context.exposeBinding('complain', (_, complaint) => complaints.push(complaint));
  await context.addInitScript(() =>
    addEventListener('securitypolicyviolation', (event) =>
      globalThis.complain(`${event.effectiveDirective} forbids ${event.blockedURI}`),
    ),
  );
  const page = await context.newPage();
  await page.goto(url);
  await use(page);
  await context.close();
  assert.deepEqual([...new Set(complaints)], []);
  const elsewhere = asked.filter((asked) => !/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(asked));
  assert.deepEqual(elsewhere, []);
  assert.ok(asked.length >= 4, `the page, two scripts and a document: ${asked}`);
  return asked;
}

/// Goes to an operation by the side bar, in which it stands by its summary.
async function goTo(page, summary) {
  const menu = page.getByRole('button', { name: 'Open Menu' });
  const entry = page.getByRole('link', { name: summary });
  await entry.or(menu).first().waitFor();
  if (await menu.isVisible()) await menu.click();
  await entry.click();
  await page.getByRole('heading', { name: summary }).waitFor();
}

/// Sends an operation's example from the console; gives the part of the page that shows the answer.
async function send(page, operation) {
  await page.getByRole('button', { name: `Test Request (${operation})` }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: /^Send .* request/ }).click();
  return dialog.getByRole('region', { name: 'Response' });
}

/// For people to look at.
const screenshot = (page, name) => page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });

test('the browser of these tests reaches no other host', async () => {
  const page = await browser.newPage();
  await assert.rejects(page.goto('http://example.com/'), /ERR_NAME_NOT_RESOLVED/);
  await page.close();
});

test('an operation is found, tried and answered on a wide light screen', async () => {
  const asked = await read(services.docs['user-service'], async (page) => {
    await page.getByRole('heading', { name: 'User Service' }).waitFor();
    await screenshot(page, 'user-service-light-wide');
    await goTo(page, 'Create a user');
    await screenshot(page, 'user-service-light-wide-operation');
    const answer = await send(page, 'post /api/v1/users');
    await answer.getByText('201 Created').waitFor();
    await answer.getByText('"user@example.com"').waitFor();
    await screenshot(page, 'user-service-light-wide-answer');
  });
  const origin = new URL(services.docs['user-service']).origin;
  assert.ok(asked.includes(`${origin}/api/v1/users`), `${asked}`);
});

test('an operation is found, tried and answered on a narrow dark screen', async () => {
  const narrow = { width: 390, colorScheme: 'dark' };
  await read(services.docs['order-service'], async (page) => {
    await page.getByRole('heading', { name: 'Order Service' }).waitFor();
    await screenshot(page, 'order-service-dark-narrow');
    await goTo(page, 'List orders');
    await screenshot(page, 'order-service-dark-narrow-operation');
    const answer = await send(page, 'get /api/v1/orders');
    await answer.getByText('200 OK').waitFor();
    await answer.getByText('"items"').waitFor();
    await answer.getByText('"items"').scrollIntoViewIfNeeded();
    await screenshot(page, 'order-service-dark-narrow-answer');
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(overflow, 0, 'nothing is wider than the screen');
  }, narrow);
});

test('the page reads well on a narrow light and on a wide dark screen too', async () => {
  for (const [name, screen] of [
    ['narrow-light', { width: 390, colorScheme: 'light' }],
    ['wide-dark', { width: 1440, colorScheme: 'dark' }],
  ]) {
    await read(services.docs['order-service'], async (page) => {
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
    await read(url, async (page) => {
      const link = page.getByRole('link', { name: 'Download OpenAPI Document' });
      const answer = await fetch(await link.getAttribute('href'));
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), checkedIn(service));
    });
  }
});

test('the policy of the page forbids requests to another origin', async () => {
  const elsewhere = new URL('/health', services.docs['order-service']).href;
  const opened = read(services.docs['user-service'], async (page) => {
    await page.getByRole('heading', { name: 'User Service' }).waitFor();
    await page.evaluate((url) => {
      const noticed = new Promise((resolve) => addEventListener('securitypolicyviolation', resolve));
      return Promise.all([noticed, fetch(url).catch(() => {})]).then(() => {});
    }, elsewhere);
  });
  await assert.rejects(opened, /connect-src forbids/);
});

test('the site shows the documents of all services, for reading', async (t) => {
  const site = await serveSite();
  t.after(site.stop);
  await read(site.url, async (page) => {
    await page.getByRole('heading', { name: 'Order Service' }).waitFor();
    await screenshot(page, 'site-light-wide');
    await page.getByRole('button', { name: 'Order Service' }).click();
    await page.getByRole('option', { name: 'User Service' }).click();
    await goTo(page, 'Create a user');
    await page.getByText('--request POST').waitFor();
    assert.equal(await page.getByRole('button', { name: /Test Request/ }).count(), 0);
    await screenshot(page, 'site-light-wide-operation');
  });
});

test('the site has a console where the web server passes requests on to the services', async (t) => {
  const site = await serveSite({ services: services.docs });
  t.after(site.stop);
  const asked = await read(site.url, async (page) => {
    await page.getByRole('heading', { name: 'Order Service' }).waitFor();
    await goTo(page, 'List orders');
    const answer = await send(page, 'get /api/v1/orders');
    await answer.getByText('200 OK').waitFor();
    await answer.getByText('"items"').waitFor();
  }, { colorScheme: 'dark' });
  assert.ok(asked.some((url) => url.startsWith(`${site.url}order-service/api/v1/orders`)), `${asked}`);
});
