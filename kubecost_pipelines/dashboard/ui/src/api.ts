/** The API: ask, remember, and say what went wrong in the server's own words. */

import { useEffect, useState } from "preact/hooks";

export class ApiError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export interface Envelope<T> {
  code: number;
  data?: T;
  message?: string;
}

/** Ask the API and return the whole answer; `code` and `message` of a refusal become an `ApiError`. */
export async function send<Answer extends Envelope<unknown>>(path: string, options: RequestInit = {}): Promise<Answer> {
  let answer: Response;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Is `kubecost-pipelines serve` still running?");
  }
  let body: Answer;
  try {
    body = (await answer.json()) as Answer;
  } catch {
    throw new ApiError(answer.status, `The server answered ${answer.status} with something that is not JSON.`);
  }
  if (!answer.ok || (body.code ?? 200) >= 400)
    throw new ApiError(answer.ok ? body.code : answer.status, body.message ?? `The server answered ${answer.status}.`);
  return body;
}

/** Ask the API for data. */
export async function ask<T>(path: string, options: RequestInit = {}): Promise<T> {
  return (await send<Envelope<T>>(path, options)).data as T;
}

export interface Answer<T> {
  /** What is known; while something newer is on its way, what was known before. */
  readonly data?: T;
  readonly error?: ApiError;
  readonly isLoading: boolean;
  readonly retry: () => void;
}

const remembered = new Map<string, unknown>();
const REMEMBERED_AT_MOST = 60;

function remember(path: string, data: unknown): void {
  remembered.delete(path);
  remembered.set(path, data);
  const oldest = remembered.keys().next();
  if (remembered.size > REMEMBERED_AT_MOST && !oldest.done) remembered.delete(oldest.value);
}

/** Forget answers, so that the next look at them asks again: something was repaired. */
export function forgetAnswers(): void {
  remembered.clear();
  dispatchEvent(new Event("answers-forgotten"));
}

/** The answer to `path`; an empty path asks nothing. `everySeconds` asks again. */
export function useAnswer<T>(path: string, everySeconds = 0): Answer<T> {
  const [known, setKnown] = useState<{ path: string; data?: T; error?: ApiError }>({ path: "" });
  const [turn, setTurn] = useState(0);
  const retry = () => setTurn((now) => now + 1);

  useEffect(() => {
    if (!path) return;
    const abort = new AbortController();
    ask<T>(path, { signal: abort.signal }).then(
      (data) => {
        remember(path, data);
        setKnown({ path, data });
      },
      (error: ApiError) => {
        if (!abort.signal.aborted) setKnown((before) => ({ path, error, ...(before.path === path && before.data ? { data: before.data } : {}) }));
      },
    );
    return () => abort.abort();
  }, [path, turn]);

  useEffect(() => {
    addEventListener("answers-forgotten", retry);
    const timer = everySeconds ? setInterval(retry, everySeconds * 1000) : undefined;
    return () => {
      removeEventListener("answers-forgotten", retry);
      clearInterval(timer);
    };
  }, [everySeconds]);

  // The server says 503 while it makes its store: it will be there in a moment.
  const isNotReady = known.path === path && known.error?.code === 503;
  useEffect(() => {
    if (!isNotReady) return;
    const timer = setTimeout(retry, 3000);
    return () => clearTimeout(timer);
  }, [isNotReady, turn]);

  const isCurrent = known.path === path;
  const cached = remembered.get(path) as T | undefined;
  const data = isCurrent ? known.data : (cached ?? known.data);
  return {
    ...(data === undefined || !path ? {} : { data }),
    ...(isCurrent && known.error ? { error: known.error } : {}),
    isLoading: Boolean(path) && !isCurrent && cached === undefined,
    retry,
  };
}

/** `path?name=value&…`, without what is empty. */
export function url(path: string, query: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  return `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}
