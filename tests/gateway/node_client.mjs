// The clients of OpenAI and Anthropic for Node: `node node_client.mjs URL ACTION...` does one after the other and
// prints, as JSON, what each got. The packages are looked for in $SEMCORE_NODE_MODULES.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.SEMCORE_NODE_MODULES, "here.js"));
const OpenAI = require("openai");
const Anthropic = require("@anthropic-ai/sdk");

const [url, ...actions] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: url + "/v1", apiKey: "sk-secret-0123456789", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: "sk-secret-0123456789", maxRetries: 0 });

const question = [{ role: "user", content: "What is my order status?" }];
const parameters = { type: "object", properties: { city: { type: "string" } } };
const chat = { model: "stub-1", messages: question };
const tooled = { ...chat, tools: [{ type: "function", function: { name: "weather", parameters } }] };
const message = { model: "claude-stub", max_tokens: 100, messages: question };
const messageTooled = { ...message, tools: [{ name: "weather", input_schema: parameters }] };

const ofCompletion = (answer) => {
  const { message, finish_reason } = answer.choices[0];
  const calls = (message.tool_calls ?? []).map((call) => [call.id, JSON.parse(call.function.arguments)]);
  return { text: message.content, calls, finish: finish_reason, tokens: answer.usage.completion_tokens };
};

const ofMessage = (answer) => {
  const blocks = (kind) => answer.content.filter((block) => block.type === kind);
  const text = blocks("text").map((block) => block.text).join("") || null;
  const calls = blocks("tool_use").map((block) => [block.id, block.input]);
  return { text, calls, finish: answer.stop_reason, tokens: answer.usage.output_tokens };
};

const streamed = (body) =>
  openai.chat.completions.stream({ ...body, stream_options: { include_usage: true } }).finalChatCompletion();

const does = {
  create: async () => ofCompletion(await openai.chat.completions.create(chat)),
  stream: async () => ofCompletion(await streamed(chat)),
  tools: async () => ofCompletion(await openai.chat.completions.create(tooled)),
  streamTools: async () => ofCompletion(await streamed(tooled)),
  responses: async () =>
    (await openai.responses.create({ model: "stub-1", input: question[0].content, store: false })).output_text,
  streamResponses: async () => {
    const body = { model: "stub-1", input: question[0].content, store: false };
    return (await openai.responses.stream(body).finalResponse()).output_text;
  },
  embeddings: async () => {
    const answer = await openai.embeddings.create({ model: "stub-1", input: ["a", "b"] });
    return answer.data.map((one) => Array.from(one.embedding));
  },
  message: async () => ofMessage(await anthropic.messages.create(message)),
  streamMessage: async () => ofMessage(await anthropic.messages.stream(message).finalMessage()),
  messageTools: async () => ofMessage(await anthropic.messages.create(messageTooled)),
  streamMessageTools: async () => ofMessage(await anthropic.messages.stream(messageTooled).finalMessage()),
};

const known = { OpenAI, Anthropic };
const told = (error) => {
  const names = Object.entries(known).flatMap(([name, client]) =>
    error instanceof client.RateLimitError ? [name + ".RateLimitError"] : [],
  );
  if (!names.length) throw error;
  return { error: names[0], status: error.status, after: error.headers.get("retry-after") };
};

const got = [];
for (const action of actions) got.push(await does[action]().catch(told));
console.log(JSON.stringify(got));
