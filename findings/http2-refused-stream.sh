#!/usr/bin/env bash
# httpx 0.28.1 (PyPI) and undici 7.30.2 (npm) do not repeat a request that an HTTP/2 server has refused unprocessed.
#
# Expected: REFUSED_STREAM promises that nothing was processed (RFC 9113, 8.7), so that it is safe to send the request
#           again, as httpx with `retries=3` and undici could do for a GET.
# Seen:     one request, and an error for the caller.
source "$(dirname "$0")/lib/setup.sh"
npm_install undici@7.30.2
cat > run.mjs <<'EOF'
import http2 from 'node:http2';
import { Agent, fetch } from 'undici';
import { check, done } from './fake.mjs';

let requests = 0;
const server = http2.createServer();
server.on('stream', (stream) => {
  requests++;
  stream.on('error', () => {});
  if (requests === 2) stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  else stream.respond({ ':status': 200 }, { endStream: true });
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const url = `http://127.0.0.1:${server.address().port}`;
const dispatcher = new Agent({ allowH2: true, useH2c: true, connections: 1 });
const get = () => fetch(url, { dispatcher }).then((response) => response.status, (failed) => failed.cause.code);
check('undici', [await get(), await get(), requests], [200, 'ERR_HTTP2_STREAM_ERROR', 2]);
done();
EOF
pip_install 'httpx[http2]==0.28.1' h2==4.4.1
cat > run.py <<'EOF'
import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import httpx

import fake

requests = 0


def answer(client):
    global requests
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    http.initiate_connection()
    client.sendall(http.data_to_send())
    while received := client.recv(65535):
        for event in http.receive_data(received):
            if isinstance(event, h2.events.StreamEnded):
                requests += 1
                if requests == 2:
                    http.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                else:
                    http.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
        client.sendall(http.data_to_send())


def accept(listener):
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
with httpx.Client(transport=httpx.HTTPTransport(http1=False, http2=True, retries=3)) as client:
    fake.check("first request", client.get(url).status_code, 200)
    fake.check("refused request", fake.error(lambda: client.get(url)).split(":")[0], "RemoteProtocolError")
    fake.check("requests", requests, 2)
EOF
run node run.mjs
run venv/bin/python run.py
