import { prepare } from "./prepare";
import { publish } from "./publish";
import { subscribe } from "./subscribe";

const say = (line: string) => document.querySelector("#log")?.append(`${line}\n`);

await prepare();
document.querySelector("#publish")?.addEventListener("click", async () => {
  await publish({ total: 12.5 }, say);
  await publish({ total: "many" }, say);
});
subscribe(say).catch((error) => say(`${error}`));
