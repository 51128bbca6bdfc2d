export interface BannerFacts {
  url: string;
  model: string;
  pid: number;
  workers: number;
  redis: string;
  logDir: string;
}

export function banner({ url, model, pid, workers, redis, logDir }: BannerFacts): string {
  const client = { mcpServers: { millrace: { type: 'http', url: `${url}/mcp` } } };
  return `
Millrace is ready at ${url}
  model    ${model}
  workers  ${workers}
  redis    ${redis}
  logs     ${logDir}
  pid      ${pid}   (Ctrl-C or \`kill ${pid}\` stops everything in order)

Try it:
  curl -d '{"query":"What is 12*(3+4)? What time is it?"}' ${url}/message

For an MCP client:
${JSON.stringify(client, null, 2)}
`;
}
