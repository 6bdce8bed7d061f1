"""What the limiter and the bans do, shown on real processes: how exact, how dear, how firm."""
