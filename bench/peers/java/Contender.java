// The Java client as a contender: see bench/contender.py for what a contender does.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.SslConfigs;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

public final class Contender {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String topic;
    private final int partitions;
    private final long firstTimestamp;
    private final List<byte[]> values = new ArrayList<>();
    private final byte[][] keys;
    private final KafkaProducer<byte[], byte[]> producer;
    private final AtomicLong written = new AtomicLong();
    private final Callback count = (metadata, error) -> {
        if (error == null) {
            written.incrementAndGet();
        }
    };

    private Contender(JsonNode task, Properties settings) throws Exception {
        topic = task.get("topic").asText();
        partitions = task.get("partitions").asInt();
        firstTimestamp = task.get("first_timestamp").asLong();
        for (String line : Files.readAllLines(Path.of(task.get("values").asText()), StandardCharsets.ISO_8859_1)) {
            values.add(line.getBytes(StandardCharsets.ISO_8859_1));
        }
        keys = new byte[task.get("keys").asInt()][];
        for (int i = 0; i < keys.length; i++) {
            keys[i] = String.format("key-%04d", i).getBytes(StandardCharsets.US_ASCII);
        }
        producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private void send(long first, long stop) {
        for (long i = first; i < stop; i++) {
            byte[] key = keys.length == 0 ? null : keys[(int) (i % keys.length)];
            byte[] value = values.get((int) (i % values.size()));
            producer.send(
                    new ProducerRecord<>(topic, (int) (i % partitions), firstTimestamp + i, key, value), count);
        }
    }

    private static Properties settings(JsonNode task) {
        int batch = task.get("batch_bytes").asInt();
        Properties settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, task.get("bootstrap_servers").asText());
        settings.put(ProducerConfig.ACKS_CONFIG, task.get("acks").asText());
        settings.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, task.get("idempotence").asText());
        settings.put(ProducerConfig.LINGER_MS_CONFIG, Long.toString(Math.round(task.get("linger_ms").asDouble())));
        settings.put(ProducerConfig.BATCH_SIZE_CONFIG, Integer.toString(batch));
        settings.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, Integer.toString(Math.max(1_048_576, batch)));
        settings.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, task.get("compression").asText());
        settings.put(ProducerConfig.BUFFER_MEMORY_CONFIG, Integer.toString(128 << 20));
        settings.put(ProducerConfig.ENABLE_METRICS_PUSH_CONFIG, "false");
        if (task.hasNonNull("in_flight")) {
            settings.put(ProducerConfig.MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION, task.get("in_flight").asText());
        }
        String authority = task.path("ca").asText("");
        if (!authority.isEmpty()) {
            settings.put(CommonClientConfigs.SECURITY_PROTOCOL_CONFIG, "SSL");
            settings.put(SslConfigs.SSL_TRUSTSTORE_TYPE_CONFIG, "PEM");
            settings.put(SslConfigs.SSL_TRUSTSTORE_LOCATION_CONFIG, authority);
        }
        return settings;
    }

    private ObjectNode run(JsonNode task) {
        OperatingSystemMXBean process = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long warmup = task.get("warmup").asLong();
        long stop = warmup + task.get("records").asLong();
        long call = task.get("call").asLong();
        boolean waits = task.get("mode").asText().equals("wait");
        List<Long> latencies = new ArrayList<>();
        send(0, warmup);
        producer.flush();
        long before = written.get();
        long wall = System.nanoTime();
        long cpu = process.getProcessCpuTime();
        if (waits) {
            for (long i = warmup; i < stop; i += call) {
                long started = System.nanoTime();
                send(i, Math.min(stop, i + call));
                producer.flush();
                latencies.add(System.nanoTime() - started);
            }
        } else {
            send(warmup, stop);
            producer.flush();
        }
        cpu = process.getProcessCpuTime() - cpu;
        wall = System.nanoTime() - wall;
        long records = written.get() - before;
        ObjectNode result = JSON.createObjectNode();
        result.put("records", records);
        result.put("failed", stop - warmup - records);
        result.put("wall", wall / 1e9);
        result.put("cpu", cpu / 1e9);
        result.set("latencies", quantiles(latencies));
        return result;
    }

    private static ObjectNode quantiles(List<Long> latencies) {
        ObjectNode quantiles = JSON.createObjectNode();
        long[] ordered = latencies.stream().mapToLong(Long::longValue).sorted().toArray();
        if (ordered.length > 0) {
            quantiles.put("mean", Arrays.stream(ordered).average().getAsDouble() / 1e9);
            String[] names = {"p50", "p90", "p99", "p999", "max"};
            double[] cuts = {0.5, 0.9, 0.99, 0.999, 1.0};
            for (int i = 0; i < names.length; i++) {
                quantiles.put(names[i], ordered[(int) Math.round((ordered.length - 1) * cuts[i])] / 1e9);
            }
        }
        return quantiles;
    }

    public static void main(String[] arguments) throws Exception {
        JsonNode task = JSON.readTree(arguments[arguments.length - 1]);
        if (!task.path("properties").asText("").isEmpty()) {
            System.err.println("takes no further settings by librdkafka's names");
            System.exit(1);
        }
        Properties settings = settings(task);
        Contender contender = new Contender(task, settings);
        ObjectNode result = contender.run(task);
        contender.producer.close();
        settings.remove(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG);
        settings.remove(SslConfigs.SSL_TRUSTSTORE_LOCATION_CONFIG);
        ObjectNode versions = JSON.createObjectNode();
        versions.put("kafka-clients", AppInfoParser.getVersion());
        versions.put("java", System.getProperty("java.version"));
        result.set("versions", versions);
        result.set("settings", JSON.valueToTree(settings));
        System.out.println(JSON.writeValueAsString(result));
    }
}
