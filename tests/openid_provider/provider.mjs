// SPDX-License-Identifier: Apache-2.0
// An OpenID provider on loopback. What it issues is real; below /test/ the tests say who lives there, which keys sign,
// and how badly it behaves. The first line of its output is its address.
import { createServer } from "node:http";
import { once } from "node:events";

import { Provider } from "oidc-provider";

// What a client asks a token for, and whom the token is then meant for.
const AUDIENCES = { "urn:test:dci": "api.dci", "urn:test:other": "another.service" };

const people = new Map();
const counts = {};
let behaviour = "well";

const server = createServer();
server.listen(0, "127.0.0.1");
await once(server, "listening");
const issuer = `http://127.0.0.1:${server.address().port}`;
let answer;

function start(keys) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "dci-ui",
        client_secret: "a secret of the tests",
        redirect_uris: ["https://ui.example.org/callback"],
        grant_types: ["authorization_code", "client_credentials"],
      },
    ],
    cookies: { keys: ["a cookie key of the tests"] },
    // Who logs in is who they say they are, with any password.
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    extraTokenClaims: (_, token) => people.get(token.accountId ?? token.clientId),
    ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600, Interaction: 600, Session: 600, IdToken: 600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          audience: AUDIENCES[resource],
          scope: "openid dci",
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
  answer = provider.callback();
}

async function steer(request, response) {
  let text = "";
  for await (const chunk of request) text += chunk;
  const said = text ? JSON.parse(text) : null;
  if (request.url === "/test/people") people.set(said.sub, said.claims);
  if (request.url === "/test/keys") start(said);
  if (request.url === "/test/behaviour") behaviour = said;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(counts));
}

function misbehave(request, response) {
  if (behaviour === "hang up") request.socket.destroy();
  else if (behaviour === "silent") return;
  else if (behaviour === "failing") response.writeHead(500).end("out of order");
  else if (behaviour === "no json") response.end("<html>");
  else if (behaviour === "endless") {
    const more = () => { while (response.write(" ".repeat(65536)));  };
    response.on("drain", more);
    more();
  } else response.end(JSON.stringify(behaviour));
}

server.on("request", (request, response) => {
  if (request.url.startsWith("/test/")) return steer(request, response);
  counts[request.url] = (counts[request.url] ?? 0) + 1;
  return behaviour === "well" ? answer(request, response) : misbehave(request, response);
});

process.stdout.write(issuer + "\n");
// The tests hold the other end: when they are gone, so is this.
process.stdin.resume().on("end", () => process.exit());
