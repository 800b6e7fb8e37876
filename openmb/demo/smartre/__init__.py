"""The demonstration on SmartRE: half of the receivers move to another decoder, and back, while they receive."""
