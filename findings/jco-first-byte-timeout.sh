#!/usr/bin/env bash
# @bytecodealliance/preview2-shim 0.26.1 (npm), which runs WASI components in Node.js, ignores `first-byte-timeout`.
#
# Expected: a request of wasi:http with a first-byte-timeout of 0.5 s fails after 0.5 s, as in wasmtime and Spin;
#           `between-bytes-timeout` does.
# Seen:     the response is awaited for as long as it takes, and is then a success.
source "$(dirname "$0")/lib/setup.sh"
npm_install @bytecodealliance/preview2-shim@0.26.1
cat > server.mjs <<'EOF'
import http from 'node:http';
const server = http.createServer((request, response) => {
  if (request.url === '/late') setTimeout(() => response.end('late'), 3000);
  else response.write('begun'); // and never ended
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
EOF
cat > run.mjs <<'EOF'
import { spawn } from 'node:child_process';
import { outgoingHandler, types } from '@bytecodealliance/preview2-shim/http';
import { check, done } from './fake.mjs';

// The shim blocks this thread, so that the server needs a process of its own.
const server = spawn(process.execPath, ['server.mjs'], { stdio: ['ignore', 'pipe', 'inherit'] });
process.on('exit', () => server.kill());
const port = await new Promise((known) => server.stdout.once('data', (line) => known(String(line).trim())));

function get(path, timeout) {
  const request = new types.OutgoingRequest(types.Fields.fromList([]));
  request.setScheme({ tag: 'HTTP' });
  request.setAuthority(`127.0.0.1:${port}`);
  request.setPathWithQuery(path);
  const options = new types.RequestOptions();
  options[timeout](500_000_000n);
  types.OutgoingBody.finish(request.body(), undefined);
  const future = outgoingHandler.handle(request, options);
  future.subscribe().block();
  const result = future.get().val;
  if (result.tag !== 'ok') return result.val.tag;
  const body = result.val.consume().stream();
  let text = '';
  try {
    for (;;) text += new TextDecoder().decode(body.blockingRead(4096n));
  } catch (end) {
    return [text, end.tag ?? end.payload?.tag];
  }
}
check('a response after 3 s', get('/late', 'setFirstByteTimeout'), ['late', 'closed']);
check('a body that pauses', get('/pause', 'setBetweenBytesTimeout'), ['begun', 'last-operation-failed']);
done();
EOF
run node run.mjs
