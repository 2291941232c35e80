"""The search: a sweep asked for (spec), run (search), stored (store) and understood (analysis)."""
