// Configures Scalar for the documents in the <link rel="service-desc"> elements of the page.

// Runs before Scalar's script: zod, a part of it, would otherwise test whether eval works, which the policy forbids.
globalThis.__zod_globalConfig = { jitless: true };

addEventListener('DOMContentLoaded', () => {
  const links = [...document.querySelectorAll('link[rel="service-desc"]')];
  const absolute = (path) => new URL(path, document.baseURI).href.replace(/\/$/, '');
  const sources = links.map(({ title, href, dataset }) => ({
    title,
    slug: title.toLowerCase().replaceAll(' ', '-'),
    url: href,
    // The servers in the documents are those of development; test requests go to the origin of this page.
    ...(dataset.server && { servers: [{ url: absolute(dataset.server) }] }),
  }));
  Scalar.createApiReference('#portal', {
    sources,
    hideTestRequestButton: !links.some(({ dataset }) => dataset.server),
    // No fonts, requests or links of other hosts.
    withDefaultFonts: false,
    telemetry: false,
    showDeveloperTools: 'never',
    hideClientButton: true,
    agent: { disabled: true },
    mcp: { disabled: true },
    // Without test requests, the bar below an example would be empty.
    customCss: '.request-card .request-card-footer:not(:has(button)) { display: none }',
    // Downloads the original document instead of Scalar's version of it.
    documentDownloadType: 'direct',
    // Shows all operations; those for operators come last.
    defaultOpenAllTags: true,
    tagsSorter: (a, b) => (a.name === 'operations') - (b.name === 'operations'),
  });
});
