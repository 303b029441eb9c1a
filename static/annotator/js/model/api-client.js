/** The web side's API: one error type, CSRF, and requests that overtake their forerunners. No state of the desk. */

/** What a call failed with; `message` is a sentence for a person. */
export class ApiError extends Error {
  constructor({ status, code, message, fields = {}, retryAfterMs = null }) {
    super(message);
    this.status = status;
    this.code = code;
    this.fields = fields;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may succeed later without anybody doing anything. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const OFFLINE = "The server can't be reached; what you did is kept in this browser and will be sent.";
const SIGNED_OUT = "You are signed out. Sign in in another tab, then carry on here; your work is kept.";

/** @typedef {ReturnType<typeof createApi>} Api */

/** `csrfToken()` is asked each time: signing in again, in another tab, makes a new one. */
export function createApi({ csrfToken, fetch = globalThis.fetch.bind(globalThis) }) {
  const running = new Map(); // overtaking key -> AbortController of the newest request

  /**
   * JSON in, JSON out (null for 204). `overtakes`: abort the running request of the same name.
   * @param {string} method
   * @param {string} url
   * @param {{body?: object, overtakes?: string, signal?: AbortSignal}} [options]
   */
  async function request(method, url, { body, overtakes, signal } = {}) {
    const controller = new AbortController();
    signal?.addEventListener("abort", () => controller.abort(), { once: true });
    if (overtakes) {
      running.get(overtakes)?.abort();
      running.set(overtakes, controller);
    }
    try {
      return await answerOf(await send(method, url, body, controller.signal));
    } finally {
      if (overtakes && running.get(overtakes) === controller) running.delete(overtakes);
    }
  }

  async function send(method, url, body, signal) {
    const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      return await fetch(url, {
        method,
        headers,
        signal,
        credentials: "same-origin",
        body: body && JSON.stringify(body),
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError({ status: 0, code: "offline", message: OFFLINE });
    }
  }

  return {
    get: (url, options) => request("GET", url, options),
    post: (url, body = {}, options = {}) => request("POST", url, { ...options, body }),
    put: (url, body, options = {}) => request("PUT", url, { ...options, body }),
    delete: (url, options) => request("DELETE", url, options),
    abort: (name) => running.get(name)?.abort(),
  };
}

async function answerOf(response) {
  if (response.status === 204) return null;
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  throw errorOf(response, body);
}

function errorOf(response, body) {
  const seconds = Number(response.headers.get("Retry-After"));
  const isSignedOut = response.status === 401 || body?.error?.code === "not_authenticated";
  return new ApiError({
    status: isSignedOut ? 401 : response.status,
    code: isSignedOut ? "signed_out" : (body?.error?.code ?? "no_answer"),
    message: isSignedOut
      ? SIGNED_OUT
      : (body?.error?.message ?? `The server answered ${response.status} without a reason.`),
    fields: body?.error?.fields ?? {},
    retryAfterMs: seconds > 0 ? seconds * 1000 : null,
  });
}

export const isAbort = (error) => error.name === "AbortError";

/** The addresses of the API (/api/docs/). */
export const paths = {
  claim: (slug) => `/api/v1/projects/${slug}/claim`,
  project: (slug) => `/api/v1/projects/${slug}/`,
  progress: (slug, since) => `/api/v1/projects/${slug}/progress?since=${encodeURIComponent(since.toISOString())}`,
  reviews: (slug) => `/api/v1/projects/${slug}/reviews/`,
  task: (id, verb) => `/api/v1/tasks/${id}${verb ? `/${verb}` : ""}`,
  annotation: (id, verb) => `/api/v1/annotations/${id}${verb ? `/${verb}` : ""}`,
};
