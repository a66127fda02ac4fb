/* The floor: what librdkafka itself costs per record, with nothing around it.
 *
 * A plain C loop over rd_kafka_produceva() with ready bytes, an 8-byte key, an explicit partition and a timestamp, reports
 * taken as events in the same thread. The lanes are measured against it in the same run. It opens the same librdkafka as
 * the extension (its path is the first argument), so it is built without headers: cc -O3 -o floor floor.c -ldl
 *
 *   floor LIBRARY BOOTSTRAP TOPIC PARTITIONS RECORDS SIZE MODE [KEY=VALUE ...]
 *
 * SIZE is a number of bytes, or @FILE: values of one length, one a line, sent in turn (see bench/contender.py).
 * MODE is "pipeline" (enqueue all, then wait) or "wait" (one record, wait for its report, the next).
 * Prints one JSON line: records acknowledged, wall seconds, CPU seconds (user and system) and, for "wait", latencies.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

typedef struct { int err; void *rkt; int32_t partition; void *payload; size_t len; void *key; size_t key_len;
                 int64_t offset; void *opaque; } message_t;
typedef struct { int vtype; union { void *ptr; int i; int32_t i32; int64_t i64; struct { void *ptr; size_t size; } mem;
                 char pad[64]; } u; } vu_t;

static void *(*conf_new)(void), *(*new_)(int, void *, char *, size_t), *(*topic_new)(void *, const char *, void *);
static int (*conf_set)(void *, const char *, const char *, char *, size_t);
static void (*set_events)(void *, int), (*event_destroy)(void *), (*error_destroy)(void *);
static void *(*produceva)(void *, const vu_t *, size_t), *(*queue_main)(void *), *(*queue_poll)(void *, int);
static int (*event_type)(void *), (*error_code)(void *), (*metadata)(void *, int, void *, const void **, int);
static size_t (*event_messages)(void *, const message_t **, size_t);

static int64_t in_flight, acknowledged, failed;

static void drain(void *queue, int timeout_ms) {
    const message_t *messages[1024];
    void *event = queue_poll(queue, timeout_ms);
    while (event) {
        if (event_type(event) == 1) {
            size_t n;
            while ((n = event_messages(event, messages, 1024))) {
                for (size_t i = 0; i < n; i++) messages[i]->err ? failed++ : acknowledged++;
                in_flight -= (int64_t)n;
            }
        }
        event_destroy(event);
        event = queue_poll(queue, 0);
    }
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One value: the same bytes everywhere. */
static uint8_t *filler(size_t size) {
    uint8_t *value = malloc(size + 1);
    for (size_t i = 0; i < size; i++) value[i] = (uint8_t)(i * 31 + 7);
    return value;
}

/* All values of a file; each is followed by its line's end. */
static uint8_t *lines(const char *path, size_t *size, size_t *values) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) return NULL;
    size_t all = (size_t)ftell(file);
    uint8_t *value = malloc(all + 1);
    rewind(file);
    if (fread(value, 1, all, file) != all) return NULL;
    fclose(file);
    value[all] = '\n';
    *size = (size_t)((uint8_t *)memchr(value, '\n', all + 1) - value);
    *values = all / (*size + 1);
    return *values ? value : NULL;
}

int main(int argc, char **argv) {
    if (argc < 8) return fprintf(stderr, "usage: floor LIBRARY BOOTSTRAP TOPIC PARTITIONS RECORDS SIZE MODE [K=V ...]\n"), 2;
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
#define FIND(name, symbol) if (!(*(void **)&name = dlsym(library, symbol))) return fprintf(stderr, "no %s\n", symbol), 1
    FIND(conf_new, "rd_kafka_conf_new"); FIND(new_, "rd_kafka_new"); FIND(topic_new, "rd_kafka_topic_new");
    FIND(conf_set, "rd_kafka_conf_set"); FIND(set_events, "rd_kafka_conf_set_events");
    FIND(event_destroy, "rd_kafka_event_destroy"); FIND(error_destroy, "rd_kafka_error_destroy");
    FIND(produceva, "rd_kafka_produceva"); FIND(queue_main, "rd_kafka_queue_get_main");
    FIND(queue_poll, "rd_kafka_queue_poll"); FIND(event_type, "rd_kafka_event_type");
    FIND(error_code, "rd_kafka_error_code"); FIND(metadata, "rd_kafka_metadata");
    FIND(event_messages, "rd_kafka_event_message_array");

    char reason[512];
    void *conf = conf_new();
    if (conf_set(conf, "bootstrap.servers", argv[2], reason, sizeof reason)) return fprintf(stderr, "%s\n", reason), 1;
    for (int i = 8; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) return fprintf(stderr, "not KEY=VALUE: %s\n", argv[i]), 2;
        *equals = 0;
        if (conf_set(conf, argv[i], equals + 1, reason, sizeof reason)) return fprintf(stderr, "%s\n", reason), 1;
    }
    set_events(conf, 1);
    void *rk = new_(0, conf, reason, sizeof reason);
    if (!rk) return fprintf(stderr, "%s\n", reason), 1;
    void *topic = topic_new(rk, argv[3], NULL), *queue = queue_main(rk);
    const void *answer = NULL;
    if (metadata(rk, 0, topic, &answer, 10000)) return fprintf(stderr, "no metadata\n"), 1;

    int partitions = atoi(argv[4]);
    int64_t records = atoll(argv[5]);
    int wait = !strcmp(argv[7], "wait");
    char key[9] = "key-0000";
    size_t size, values = 1;
    uint8_t *value = argv[6][0] == '@' ? lines(argv[6] + 1, &size, &values) : filler(size = (size_t)atoll(argv[6]));
    if (!value) return fprintf(stderr, "no values: %s\n", argv[6]), 1;
    double *latency = wait ? malloc((size_t)records * sizeof *latency) : NULL;

    vu_t vu[6] = {{.vtype = 2}, {.vtype = 3}, {.vtype = 4}, {.vtype = 5}, {.vtype = 8}, {.vtype = 7}};
    vu[0].u.ptr = topic;
    vu[2].u.mem.size = size;
    vu[3].u.mem.ptr = key; vu[3].u.mem.size = 8;
    vu[5].u.i = 2;
    int64_t now_ms = (int64_t)(seconds(CLOCK_REALTIME) * 1000);
    double wall = 0, cpu = 0;
    /* One record per partition first: connecting is not what is measured. */
    for (int64_t i = -partitions; i < records; i++) {
        if (i == 0) {
            while (in_flight > 0) drain(queue, 100);
            acknowledged = 0;
            wall = seconds(CLOCK_MONOTONIC);
            cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        }
        double started = wait ? seconds(CLOCK_MONOTONIC) : 0;
        vu[1].u.i32 = (int32_t)((i + partitions) % partitions);
        vu[2].u.mem.ptr = value + (size_t)(i + partitions) % values * (size + 1);
        vu[4].u.i64 = now_ms + i;
        for (;;) {
            void *error = produceva(rk, vu, 6);
            if (!error) break;
            int code = error_code(error);
            error_destroy(error);
            if (code != -184) return fprintf(stderr, "produceva: %d\n", code), 1;
            drain(queue, 10);
        }
        in_flight++;
        if (wait) {
            while (in_flight > 0) drain(queue, 1000);
            if (i >= 0) latency[i] = seconds(CLOCK_MONOTONIC) - started;
        } else if ((i & 1023) == 0) {
            drain(queue, 0);
        }
    }
    while (in_flight > 0) drain(queue, 100);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"records\": %lld, \"failed\": %lld, \"wall\": %.6f, \"cpu\": %.6f", (long long)acknowledged,
           (long long)failed, wall, cpu);
    if (wait) {
        qsort(latency, (size_t)records, sizeof *latency, by_value);
        printf(", \"p50\": %.9f, \"p99\": %.9f", latency[records / 2], latency[records * 99 / 100]);
    }
    printf("}\n");
    return acknowledged == records ? 0 : 1;
}
