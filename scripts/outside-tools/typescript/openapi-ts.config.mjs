// Clients for the services, by hey-api: functions, and options of TanStack Query that page by `page_token`.
const service = (name) => ({
  input: `${process.env.OPENAPI}/${name}.json`,
  output: `generated/${name}`,
  parser: { pagination: { keywords: ['page_token'] } },
  plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk', '@tanstack/react-query'],
});

export default [service('user-service'), service('order-service')];
