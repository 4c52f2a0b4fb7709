// The server's time: a device's clock may be hours off. Each answer says when it was sent, to the
// second, which bounds how far the two are apart; all answers together bound it closely.
let earliest = -Infinity;
let latest = Infinity;

function compare(date, asked, answered) {
  if (Number.isNaN(date)) return; // not shown to the page
  const bounds = [date - answered, date + 1000 - asked];
  earliest = Math.max(earliest, bounds[0]);
  latest = Math.min(latest, bounds[1]);
  // Somebody set the clock.
  if (earliest > latest) [earliest, latest] = bounds;
}

// A clock that may be right, as far as the answers tell, is taken for right.
export const serverNow = () => Date.now() + Math.min(Math.max(0, earliest), latest);

export const watchClock = (fetch) => async (...request) => {
  const asked = Date.now();
  const response = await fetch(...request);
  compare(Date.parse(response.headers.get("Date") ?? ""), asked, Date.now());
  return response;
};
