// Clients for the services, by orval: functions, and hooks of TanStack Query that page by `page_token`.
const service = (name) => ({
  input: `${process.env.OPENAPI}/${name}.json`,
  output: {
    target: `generated/${name}.ts`,
    client: 'react-query',
    httpClient: 'fetch',
    headers: true,
    override: {
      mutator: { path: 'orval-fetch.ts', name: name === 'user-service' ? 'userFetch' : 'orderFetch' },
      query: { version: 5, useInfinite: true, useInfiniteQueryParam: 'page_token' },
    },
  },
});

export default { user: service('user-service'), order: service('order-service') };
