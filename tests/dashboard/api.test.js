import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, errorOf, urlOf, withParameters } from "../../dashboard/lib/api.js";

test("parameters without a value are left out", () => {
  const parameters = { a: "", b: null, c: undefined, success: false, key: 0 };
  assert.equal(withParameters("calls", parameters), "calls?success=false&key=0");
  assert.equal(withParameters("calls"), "calls");
});

test("parameters are escaped", () => {
  assert.equal(withParameters("keys", { q: "a&b c" }), "keys?q=a%26b+c");
});

test("addresses are relative, since the pool may be below a prefix", () => {
  assert.equal(urlOf("keys"), "admin/api/v1/keys");
  assert.equal(urlOf("/api/pool/explain"), "api/pool/explain");
});

test("a problem has a code, a text and the parameter at fault", () => {
  const body = {
    title: "Bad Request",
    detail: "`name` is bad.",
    code: "invalid_request",
    param: "name",
  };
  const { status, code, message, param } = errorOf(400, JSON.stringify(body));
  assert.deepEqual(
    { status, code, message, param },
    { status: 400, code: "invalid_request", message: "`name` is bad.", param: "name" },
  );
});

test("errors of OpenAI's form are read, too", () => {
  const { code, message, param } = errorOf(503, '{"error":{"code":"pool_busy","message":"Busy."}}');
  assert.deepEqual({ code, message, param }, { code: "pool_busy", message: "Busy.", param: null });
});

test("what is not JSON is shown as it is, but not all of a page", () => {
  const error = errorOf(502, `<html>${"x".repeat(500)}`);
  assert.ok(error instanceof ApiError);
  assert.equal(error.code, "unknown");
  assert.equal(error.message.length, 200);
});
