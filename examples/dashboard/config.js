// Your project's: put in your own when you copy this folder.
export const SUPABASE_URL = "https://your-project.supabase.co";
export const SUPABASE_ANON_KEY = "your publishable key (or the legacy anon key)";
export const SIGN_IN_URL = "/sign-in/";

// Where an accepted session takes place, for both; {id} is the request's. Empty: no button leads there.
export const SESSION_URL = "";

// Where to ask when a payment does not arrive: a page, or mailto: with an address.
export const HELP_URL = "";

// The public key of `python -m push_app keys`. Empty: no device is rung when no page is open.
export const VAPID_PUBLIC_KEY = "";

// Options of supabase-js's createClient. The service worker reads this file too, where there is no
// `window` and no `localStorage`.
export const OPTIONS = {};
