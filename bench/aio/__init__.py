"""What awaiting a record costs: tasks that each await their own, against aiokafka and confluent-kafka."""
