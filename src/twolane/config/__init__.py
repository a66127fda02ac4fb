"""Settings: what librdkafka knows, and what each lane fixes, allows and refuses."""
