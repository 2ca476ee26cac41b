// An agent in Node: asks a model, calls a tool, asks again; seen in Tachograph as one session. No model is needed here,
// as the answers are made up; the spans are those that the GenAI conventions ask of any program.
//
//   tachograph serve &                                            # says where OTLP is taken in
//   npm install && OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:8001 node agent.mjs
//
// OTEL_EXPORTER_OTLP_PROTOCOL is http/json or http/protobuf, OTEL_EXPORTER_OTLP_COMPRESSION none or gzip, and SESSION_ID
// the session's id.

import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const Exporter = process.env.OTEL_EXPORTER_OTLP_PROTOCOL === "http/json" ? JsonExporter : ProtobufExporter;
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "node-agent" }),
  spanProcessors: [new BatchSpanProcessor(new Exporter(), { maxExportBatchSize: 2 })],
});
provider.register();
const tracer = trace.getTracer("node-agent");
const session = process.env.SESSION_ID ?? "node-1";

async function span(name, kind, attributes, work) {
  return tracer.startActiveSpan(name, { kind, attributes }, async (active) => {
    try {
      return await work(active);
    } catch (error) {
      active.setAttribute("error.type", error.name).setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      throw error;
    } finally {
      active.end();
    }
  });
}

function chat(read, written, reason) {
  const asked = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1-mini",
  };
  return span("chat gpt-4.1-mini", SpanKind.CLIENT, asked, async (active) => {
    active.setAttributes({
      "gen_ai.usage.input_tokens": read,
      "gen_ai.usage.output_tokens": written,
      "gen_ai.response.finish_reasons": [reason],
    });
  });
}

function tool(name, work) {
  const called = { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.call.id": "call-1" };
  return span(`execute_tool ${name}`, SpanKind.INTERNAL, called, work);
}

// Only the outer span says which session it is. It ends last, and is sent last.
const run = {
  "gen_ai.operation.name": "invoke_agent",
  "gen_ai.agent.name": "researcher",
  "gen_ai.conversation.id": session,
  "session.id": session,
};
await span("invoke_agent researcher", SpanKind.INTERNAL, run, async () => {
  await chat(1200, 80, "tool_calls");
  await tool("search", async () => "tea costs 4");
  await chat(1400, 40, "stop");
});

await provider.shutdown(); // sends what is left
