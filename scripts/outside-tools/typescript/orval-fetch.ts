// How the clients of orval send requests.
import { Refused, url } from './scenario';

async function send<T>(base: string, path: string, options: RequestInit): Promise<T> {
  const response = await fetch(base + path, options);
  const text = await response.text();
  const data = text === '' ? undefined : JSON.parse(text);
  if (!response.ok) throw new Refused(response.status, data.error_code);
  return { status: response.status, data, headers: response.headers } as T;
}

export const userFetch = <T>(path: string, options: RequestInit): Promise<T> =>
  send<T>(url('USER_SERVICE_URL'), path, options);

export const orderFetch = <T>(path: string, options: RequestInit): Promise<T> =>
  send<T>(url('ORDER_SERVICE_URL'), path, options);
