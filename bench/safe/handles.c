/* What two librdkafka clients taking turns would give the safe lane on one partition: see handles.py.
 *
 *   handles LIBRARY BOOTSTRAP TOPIC RECORDS SIZE CHUNK HANDLES [KEY=VALUE ...]
 *
 * A chunk becomes one MessageSet the lane's way: its partition is paused, its records are enqueued, the partition is resumed
 * and the broker's thread is woken. With one client the next chunk is enqueued when the one before it is acknowledged.
 * With two it is enqueued, still paused, on the other client meanwhile; the acknowledgement resumes it, and a failure would
 * purge it from there, where it cannot have been sent. Prints one JSON line.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { int err; void *rkt; int32_t partition; void *payload; size_t len; void *key; size_t key_len;
                 int64_t offset; void *opaque; } message_t;
typedef struct { int vtype; union { void *ptr; int i; int32_t i32; int64_t i64; struct { void *ptr; size_t size; } mem;
                 char pad[64]; } u; } vu_t;
typedef struct { void *rk, *topic, *queue, *list; int64_t waiting; } client_t;

static void *(*conf_new)(void), *(*new_)(int, void *, char *, size_t), *(*topic_new)(void *, const char *, void *);
static int (*conf_set)(void *, const char *, const char *, char *, size_t);
static void (*set_events)(void *, int), (*event_destroy)(void *);
static void *(*produceva)(void *, const vu_t *, size_t), *(*queue_main)(void *), *(*queue_poll)(void *, int);
static int (*event_type)(void *), (*metadata)(void *, int, void *, const void **, int);
static int (*pause_)(void *, void *), (*resume)(void *, void *), (*flush)(void *, int);
static void *(*list_new)(int), *(*list_add)(void *, const char *, int32_t);
static size_t (*event_messages)(void *, const message_t **, size_t);
static ssize_t (*consume_batch)(void *, int32_t, int, const message_t **, size_t);

static int64_t acknowledged, last_offset = -1, disorder;

/* Wait until the client's chunk has its reports; false where one of its records failed. */
static int acknowledge(client_t *client) {
    const message_t *messages[1024];
    while (client->waiting > 0) {
        void *event = queue_poll(client->queue, 1000);
        if (!event) continue;
        size_t n;
        while (event_type(event) == 1 && (n = event_messages(event, messages, 1024))) {
            for (size_t i = 0; i < n; i++) {
                if (messages[i]->err) return 0;
                disorder += messages[i]->offset <= last_offset;
                last_offset = messages[i]->offset;
            }
            acknowledged += (int64_t)n;
            client->waiting -= (int64_t)n;
        }
        event_destroy(event);
    }
    return 1;
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    if (argc < 8) return fprintf(stderr, "usage: handles LIBRARY BOOTSTRAP TOPIC RECORDS SIZE CHUNK HANDLES [K=V ...]\n"), 2;
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
#define FIND(name, symbol) if (!(*(void **)&name = dlsym(library, symbol))) return fprintf(stderr, "no %s\n", symbol), 1
    FIND(conf_new, "rd_kafka_conf_new"); FIND(new_, "rd_kafka_new"); FIND(topic_new, "rd_kafka_topic_new");
    FIND(conf_set, "rd_kafka_conf_set"); FIND(set_events, "rd_kafka_conf_set_events");
    FIND(event_destroy, "rd_kafka_event_destroy"); FIND(event_messages, "rd_kafka_event_message_array");
    FIND(produceva, "rd_kafka_produceva"); FIND(queue_main, "rd_kafka_queue_get_main");
    FIND(queue_poll, "rd_kafka_queue_poll"); FIND(event_type, "rd_kafka_event_type"); FIND(metadata, "rd_kafka_metadata");
    FIND(pause_, "rd_kafka_pause_partitions"); FIND(resume, "rd_kafka_resume_partitions");
    FIND(list_new, "rd_kafka_topic_partition_list_new"); FIND(list_add, "rd_kafka_topic_partition_list_add");
    FIND(flush, "rd_kafka_flush"); FIND(consume_batch, "rd_kafka_consume_batch");

    int64_t records = atoll(argv[4]), chunk = atoll(argv[6]);
    size_t size = (size_t)atoll(argv[5]);
    int n = atoi(argv[7]);
    client_t clients[2] = {{0}};
    if (n < 1 || n > 2 || chunk < 1) return fprintf(stderr, "one handle or two, chunks of a record or more\n"), 2;
    for (int c = 0; c < n; c++) {
        char reason[512];
        void *conf = conf_new();
        if (conf_set(conf, "bootstrap.servers", argv[2], reason, sizeof reason)) return fprintf(stderr, "%s\n", reason), 1;
        for (int i = 8; i < argc; i++) {
            char *equals = strchr(argv[i], '=');
            if (!equals) return fprintf(stderr, "not KEY=VALUE: %s\n", argv[i]), 2;
            *equals = 0;
            if (conf_set(conf, argv[i], equals + 1, reason, sizeof reason)) return fprintf(stderr, "%s\n", reason), 1;
            *equals = '=';
        }
        set_events(conf, 1);
        if (!(clients[c].rk = new_(0, conf, reason, sizeof reason))) return fprintf(stderr, "%s\n", reason), 1;
        clients[c].topic = topic_new(clients[c].rk, argv[3], NULL);
        clients[c].queue = queue_main(clients[c].rk);
        clients[c].list = list_new(1);
        list_add(clients[c].list, argv[3], 0);
        const void *answer = NULL;
        if (metadata(clients[c].rk, 0, clients[c].topic, &answer, 10000)) return fprintf(stderr, "no metadata\n"), 1;
    }

    uint8_t *value = malloc(size);
    for (size_t i = 0; i < size; i++) value[i] = (uint8_t)(i * 31 + 7);
    vu_t vu[6] = {{.vtype = 2}, {.vtype = 3}, {.vtype = 4}, {.vtype = 5}, {.vtype = 8}, {.vtype = 7}};
    vu[2].u.mem.ptr = value; vu[2].u.mem.size = size;
    vu[3].u.mem.ptr = "key-0000"; vu[3].u.mem.size = 8;
    vu[5].u.i = 2;
    int64_t now_ms = (int64_t)(seconds(CLOCK_REALTIME) * 1000);
    double wall = 0, cpu = 0;
    client_t *before = NULL;
    /* One record by each client first: connecting is not what is measured. */
    for (int64_t k = -n, done = 0; k < 0 || done < records; k++) {
        client_t *client = &clients[(k + n) % n];
        int64_t m = k < 0 ? 1 : records - done < chunk ? records - done : chunk;
        if (k == 0) {
            if (before && !acknowledge(before)) return fprintf(stderr, "a record failed\n"), 1;
            before = NULL;
            acknowledged = 0;
            wall = seconds(CLOCK_MONOTONIC);
            cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        }
        if (n == 1 && before && !acknowledge(before)) return fprintf(stderr, "a record failed\n"), 1;
        pause_(client->rk, client->list);
        vu[0].u.ptr = client->topic;
        for (int64_t i = 0; i < m; i++) {
            vu[4].u.i64 = now_ms + done + i;
            if (produceva(client->rk, vu, 6)) return fprintf(stderr, "produceva\n"), 1;
        }
        client->waiting = m;
        if (n == 2 && before && !acknowledge(before)) return fprintf(stderr, "a record failed\n"), 1;
        resume(client->rk, client->list);
        flush(client->rk, 0); /* Wakes the broker's thread: resuming alone does not. */
        const message_t *none = NULL;
        consume_batch(client->topic, 0, 0, &none, 1); /* What pausing and resuming leave behind (F32). */
        before = client;
        if (k >= 0) done += m;
    }
    if (!acknowledge(before)) return fprintf(stderr, "a record failed\n"), 1;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"records\": %lld, \"failed\": 0, \"disorder\": %lld, \"wall\": %.6f, \"cpu\": %.6f}\n", (long long)acknowledged,
           (long long)disorder, wall, cpu);
    return acknowledged == records && !disorder ? 0 : 1;
}
