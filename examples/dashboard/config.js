// Your project's: put in your own when you copy this folder.
export const SUPABASE_URL = "https://your-project.supabase.co";
export const SUPABASE_ANON_KEY = "your publishable key (or the legacy anon key)";
export const SIGN_IN_URL = "/sign-in/";

// Options of supabase-js's createClient.
export const OPTIONS = {};
