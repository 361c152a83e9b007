// Cloudflare's envelope, and the errors in it: https://developers.cloudflare.com/api, and answers
// of the real service as their receivers quote them.
export function done(result) {
  return Response.json({ result, success: true, errors: [], messages: [] });
}

export class Refusal extends Error {
  constructor(status, code, message, result = null) {
    super(message);
    Object.assign(this, { status, code, result });
  }

  get answer() {
    const errors = [{ code: this.code, message: this.message }];
    const body = { result: this.result, success: false, errors, messages: [] };
    return Response.json(body, { status: this.status });
  }
}

export async function bodyOf(request, malformed) {
  try {
    return await request.json();
  } catch {
    throw malformed;
  }
}
