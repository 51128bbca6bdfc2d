/** Longer than any answer takes that comes without waiting for a run. */
const FIRST_EVENT_MS = 500;

/**
 * Keeps a stream's headers back until its first event is there, half a second at most. Older revisions get every answer as a stream,
 * whose headers would go out before anything is known. If this gateway died then, its client would wait for the rest in vain; without
 * them it hears of a broken connection, and it, or a load balancer, can ask another gateway.
 */
export async function withFirstEvent(response: Response): Promise<Response> {
  if (!response.body || !response.headers.get('content-type')?.startsWith('text/event-stream'))
    return response;
  const reader = response.body.getReader();
  let next: ReturnType<typeof reader.read> | undefined = reader.read();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FIRST_EVENT_MS);
  });
  await Promise.race([next.catch(() => undefined), late]);
  clearTimeout(timer);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await (next ?? reader.read());
      next = undefined;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(body, response);
}
