// Calls of a running service with the types that openapi-typescript generated.
// `make clients` compiles this file with `tsc --strict`, then runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./closecast.ts";

type Problem = components["schemas"]["ProblemDocument"];

function expect(holds: boolean, what: unknown): asserts holds {
  if (!holds) throw new Error(`unexpected: ${JSON.stringify(what)}`);
}

const client = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: process.argv[2] });
const prices = Array.from({ length: 60 }, (_, i) => 200 + 3 * (i % 5) - 0.7 * (i % 3));

const predicted = await client.POST("/predict", { body: { prices, timing: true } });
expect(predicted.data !== undefined && "predicted_price" in predicted.data, predicted.error);
const price: number = predicted.data.predicted_price;

const stock = await client.POST("/predict", { body: { stock: "MSFT" } });
expect(stock.data !== undefined && "preco" in stock.data, stock.error);
const preco: number[] = stock.data.preco;

const forecast = await client.GET("/forecast/{symbol}", {
  params: { path: { symbol: "MSFT" }, query: { levels: "0.9" } },
});
expect(forecast.data !== undefined && "path" in forecast.data, forecast.error);
expect(forecast.data.path.length === preco.length, forecast.data);

const short = await client.POST("/predict", { body: { prices: prices.slice(0, 3) } });
const problem: Problem | undefined = short.error;
expect(problem?.code === "wrong_window_length", short.data);

const queued = await client.POST("/train", {
  body: { symbol: "KO", source: "sample", forecaster: "ewma" },
});
expect(queued.response.status === 202 || queued.response.status === 409, queued.error);

console.log(`TypeScript: ${price.toFixed(2)}, ${preco.length} prices, ${problem.code}`);
