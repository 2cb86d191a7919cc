// Load in a process of its own: each line of stdin is an order, {"url", "cookie", "connections", "seconds"}, answered
// by {"requests", "seconds"}. Anything but success is an error.
import { createInterface } from 'node:readline';

import autocannon from 'autocannon';

process.on('SIGTERM', () => process.exit(0));

for await (const line of createInterface({ input: process.stdin })) {
  const { url, cookie, connections, seconds } = JSON.parse(line);
  const done = await autocannon({ url, connections, duration: seconds, headers: cookie ? { cookie } : {} });
  if (done.non2xx || done.errors || done.timeouts)
    throw new Error(`${url}: ${done.non2xx} refused, ${done.errors} errors`);
  console.log(JSON.stringify({ requests: done['2xx'], seconds: done.duration }));
}
