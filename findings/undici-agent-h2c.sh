#!/usr/bin/env bash
# undici 7.30.2 (npm): an Agent heeds `useH2c` only when it may open one connection.
#
# Expected: `new Agent({ allowH2: true, useH2c: true })` speaks HTTP/2 to a plain-text server, as Client does with the
#           same options, and `connections` changes nothing but their number.
# Seen:     it speaks HTTP/1.1, and fails with a parser error at the server's first HTTP/2 frame. With `connections: 1`
#           it works, with `connections: 2` it does not.
source "$(dirname "$0")/lib/setup.sh"
npm_install undici@7.30.2
cat > run.mjs <<'EOF'
import http2 from 'node:http2';
import { Agent, Client } from 'undici';
import { check, done } from './fake.mjs';

const server = http2.createServer((request, response) => response.end());
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${server.address().port}`;
const get = (dispatcher) =>
  dispatcher.request({ origin, path: '/', method: 'GET' }).then((response) => response.statusCode, (failed) => failed.name);
const h2c = { allowH2: true, useH2c: true };
check('Client', await get(new Client(origin, h2c)), 200);
check('Agent, connections: 1', await get(new Agent({ ...h2c, connections: 1 })), 200);
check('Agent, connections: 2', await get(new Agent({ ...h2c, connections: 2 })), 'HTTPParserError');
check('Agent', await get(new Agent(h2c)), 'HTTPParserError');
done();
EOF
run node run.mjs
