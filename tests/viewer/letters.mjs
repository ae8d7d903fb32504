// Events that can't be stored, for dead letters: an id over the limit of 1 kB.

for (const letter of ["x", "y"]) {
  console.log(JSON.stringify({ flow: { flowInstanceId: letter.repeat(2000), phase: "PHASE_CLOSED", statusWord: "Completed" } }));
}
