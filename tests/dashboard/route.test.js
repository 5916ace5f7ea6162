import assert from "node:assert/strict";
import { test } from "node:test";
import { linkTo, parseRoute } from "../../dashboard/lib/route.js";

test("a route has segments and parameters", () => {
  assert.deepEqual(parseRoute("#/keys/3?tab=calls&q=a%20b"), {
    path: ["keys", "3"],
    query: { tab: "calls", q: "a b" },
  });
});

test("the first view has no segments", () => {
  for (const fragment of ["", "#", "#/", "#//"]) {
    assert.deepEqual(parseRoute(fragment), { path: [], query: {} }, fragment);
  }
});

test("what is no escape is kept as it is", () => {
  assert.deepEqual(parseRoute("#/keys/100%").path, ["keys", "100%"]);
});

test("a link leads to the route that it was made of", () => {
  const path = ["requests", "a/b ?#%"];
  const query = { q: "50 % & more", model: "gemini-*" };
  assert.deepEqual(parseRoute(linkTo(path, query)), { path, query });
});

test("parameters without a value are left out, but not zeros", () => {
  assert.equal(linkTo(["calls"], { a: "", b: null, c: undefined, token: 0 }), "#/calls?token=0");
  assert.equal(linkTo([]), "#/");
});
