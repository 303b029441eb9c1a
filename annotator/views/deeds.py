"""The admin's one-button deeds: each asks a service and goes back to the page that shows what came of it."""
