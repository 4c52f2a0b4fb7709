// Your project's: put in your own when you copy this folder.
export const SUPABASE_URL = "https://your-project.supabase.co";
export const SUPABASE_ANON_KEY = "your publishable key (or the legacy anon key)";
export const SIGN_IN_URL = "/sign-in/";

// Where an accepted session takes place, for both; {id} is the request's. Empty: no button leads there.
export const SESSION_URL = "";

// Where to ask when a payment does not arrive: a page, or mailto: with an address.
export const HELP_URL = "";

// Options of supabase-js's createClient.
export const OPTIONS = {};
