// Sets Scalar up for the documents that the page names in <link rel="service-desc">.

// Runs before Scalar's script: else zod, a part of it, tries out whether it may eval, which the page's policy forbids.
globalThis.__zod_globalConfig = { jitless: true };

addEventListener('DOMContentLoaded', () => {
  const links = [...document.querySelectorAll('link[rel="service-desc"]')];
  const absolute = (path) => new URL(path, document.baseURI).href.replace(/\/$/, '');
  const sources = links.map(({ title, href, dataset }) => ({
    title,
    slug: title.toLowerCase().replaceAll(' ', '-'),
    url: href,
    // The documents name the servers as their authors know them; what is tried goes to where this page came from.
    ...(dataset.server && { servers: [{ url: absolute(dataset.server) }] }),
  }));
  Scalar.createApiReference('#portal', {
    sources,
    hideTestRequestButton: !links.some(({ dataset }) => dataset.server),
    // Nothing from other hosts, and no door to them.
    withDefaultFonts: false,
    telemetry: false,
    showDeveloperTools: 'never',
    hideClientButton: true,
    agent: { disabled: true },
    mcp: { disabled: true },
    // Where nothing can be tried, the bar below an example would be empty.
    customCss: '.request-card .request-card-footer:not(:has(button)) { display: none }',
    // The document as it is, not as Scalar would write it.
    documentDownloadType: 'direct',
    // Every operation in sight; those for the people who run the service last.
    defaultOpenAllTags: true,
    tagsSorter: (a, b) => (a.name === 'operations') - (b.name === 'operations'),
  });
});
