"""Data sets: functions that return `Images`, held whole in memory as bytes, on one device."""
