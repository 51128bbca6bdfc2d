// The image's health check: exits 0 when the app in this container, whichever of the two it is, says it is ready.

const { OPS_PORT, PORT, WORKER_PORT } = process.env;

async function ready(port: string): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
  const text = (await answer.text()).trim();
  if (!answer.ok) throw new Error(text);
}

try {
  await Promise.any([ready(OPS_PORT || PORT || '2024'), ready(WORKER_PORT || '9464')]);
} catch (error) {
  const reasons = (error as AggregateError).errors.map((one: Error) => one.message);
  process.stderr.write(`${reasons.join('; ')}\n`);
  process.exit(1);
}
