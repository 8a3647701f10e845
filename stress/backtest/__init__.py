"""Walk-forward tests of price models and liquidation forecasts against what happened."""
