// Node's own fetch as it is by default.
const [address, ...calls] = process.argv.slice(2);
for (let i = 0; i < calls.length; i += 2) {
  const answer = await fetch(address + calls[i], {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: calls[i + 1],
  });
  console.log(`${answer.status} ${await answer.text()}`);
}
