/* Sends requests on a fixed schedule and says how long each answer took since its request was due.
 *
 *     open_loop PORT CONNECTIONS REQUESTS_PER_SECOND SECONDS FILE
 *
 * FILE holds whole HTTP/1.1 requests, each behind its length (u32, little-endian); they are sent in turn, over
 * and over, to 127.0.0.1. Request n is due at n / rate, whatever became of those before it: when no connection
 * is free it waits, and its wait counts. So a server that stops for a second is charged for every request that
 * would have come in that second (a closed loop, which asks only after an answer, would charge it for one).
 * Before the schedule begins every connection has had one answer: hundreds that are set up in the same millisecond are
 * a load of their own, which `first` tells.
 *
 * It prints one JSON object; times in microseconds:
 *
 *     sent, answered, not_200, waited (how many found no free connection when they were due),
 *     first (until the first answer on the last connection, all of them opened at once),
 *     latency (from due to answered) and lag (how late this program itself sent: from when the request was due and
 *     a connection free), each as p50, p90, p99, p999 and max.
 *
 * Latencies are true only as far as `lag` is small beside them. Exit status 1 and a sentence when something is
 * wrong with the server or the arguments.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 65536
#define CONNECTIONS_MAX 1024
#define PATIENCE_US 10000000ull /* for the last answers */

typedef struct {
    int fd;
    uint64_t due;  /* of the request under way, 0: none */
    uint64_t free; /* since when it waits for one */
    size_t held;
    char answer[ANSWER_MAX + 1];
} Connection;

typedef struct {
    uint32_t *times;
    size_t count;
} Times;

static Connection *connections;
static int *idle, idle_first, idle_count, connection_count; /* a ring: all take their turn */
static Times latencies, lags;
static uint64_t not_200, waited;

static void die(const char *what) {
    fprintf(stderr, "open_loop: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void note(Times *times, uint64_t us) { times->times[times->count++] = us > UINT32_MAX ? UINT32_MAX : us; }

static int smaller(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, Times *times) {
    qsort(times->times, times->count, sizeof(uint32_t), smaller);
    const double parts[] = {0.5, 0.9, 0.99, 0.999, 1};
    const char *names[] = {"p50", "p90", "p99", "p999", "max"};
    printf(", \"%s\": {", name);
    for (int i = 0; i < 5; i++) {
        size_t at = (size_t)(parts[i] * times->count);
        uint32_t us = times->count ? times->times[at < times->count ? at : times->count - 1] : 0;
        printf("%s\"%s\": %u", i ? ", " : "", names[i], us);
    }
    printf("}");
}

/* Connects, with a send buffer that holds any request: a write to an idle connection never falls short. */
static int open_connection(int port, int request_bytes_max) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, size = 2 * request_bytes_max + 65536;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    return fd;
}

/* Takes what has arrived; frees the connection when the answer is whole. */
static void take_answer(int index) {
    Connection *c = &connections[index];
    ssize_t got = recv(c->fd, c->answer + c->held, ANSWER_MAX - c->held, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0 || !c->due) die("the server closed a connection, or spoke unasked");
    c->held += got;
    c->answer[c->held] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) {
        if (c->held == ANSWER_MAX) die("an answer's head is too long");
        return;
    }
    char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (!length || length > end) die("an answer without a Content-Length");
    if (c->held < (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10)) return;
    c->free = now_us();
    note(&latencies, c->free - c->due);
    if (strncmp(c->answer, "HTTP/1.1 200", 12)) not_200++;
    c->due = c->held = 0;
    idle[(idle_first + idle_count++) % connection_count] = index;
}

static void send_request(const char *request, size_t size, uint64_t due) {
    Connection *c = &connections[idle[idle_first]];
    idle_first = (idle_first + 1) % connection_count;
    idle_count--;
    uint64_t since = due > c->free ? due : c->free, now = now_us();
    if (send(c->fd, request, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size) die("a request did not go out whole");
    note(&lags, now - since);
    c->due = due;
}

/* Waits until `wake` or for answers, and takes those that came. */
static void take_answers(int loop, int timer, uint64_t wake) {
    struct epoll_event events[64];
    struct itimerspec at = {.it_value = {.tv_sec = wake / 1000000, .tv_nsec = wake % 1000000 * 1000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
    int ready = epoll_wait(loop, events, 64, -1);
    for (int i = 0; i < ready; i++) {
        uint64_t ticks;
        if (events[i].data.u32 != UINT32_MAX) take_answer(events[i].data.u32);
        else if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) die("the timer");
    }
}

int main(int argc, char **argv) {
    if (argc != 6) die("usage: open_loop PORT CONNECTIONS REQUESTS_PER_SECOND SECONDS FILE");
    int port = atoi(argv[1]);
    connection_count = atoi(argv[2]);
    double rate = atof(argv[3]);
    uint64_t total = (uint64_t)(rate * atof(argv[4]));
    if (connection_count < 1 || connection_count > CONNECTIONS_MAX || total < 1) die("arguments out of range");

    FILE *file = fopen(argv[5], "rb");
    if (!file) die(argv[5]);
    char **requests = NULL;
    uint32_t *sizes = NULL, size, request_count = 0, largest = 0;
    while (fread(&size, sizeof size, 1, file) == 1) {
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        sizes = realloc(sizes, (request_count + 1) * sizeof *sizes);
        requests[request_count] = malloc(size);
        if (fread(requests[request_count], 1, size, file) != size) die("the file of requests is cut short");
        sizes[request_count++] = size;
        if (size > largest) largest = size;
    }
    if (!request_count) die("the file of requests is empty");

    connections = calloc(connection_count, sizeof *connections);
    idle = malloc(connection_count * sizeof *idle);
    latencies.times = malloc((total + connection_count) * sizeof(uint32_t));
    lags.times = malloc((total + connection_count) * sizeof(uint32_t));
    int loop = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(loop, EPOLL_CTL_ADD, timer, &event);
    for (int i = 0; i < connection_count; i++) {
        connections[i].fd = open_connection(port, largest);
        event.data.u32 = i;
        epoll_ctl(loop, EPOLL_CTL_ADD, connections[i].fd, &event);
        idle[idle_count++] = i;
    }

    uint64_t opened = now_us();
    for (int i = 0; i < connection_count; i++) send_request(requests[i % request_count], sizes[i % request_count], opened);
    while (idle_count < connection_count) {
        if (now_us() > opened + PATIENCE_US) die("a connection was never answered");
        take_answers(loop, timer, now_us() + 100000);
    }
    uint64_t first = now_us() - opened;
    latencies.count = lags.count = not_200 = 0;

    uint64_t begun = now_us(), next = 0, counted = 0;
    while (latencies.count < total) {
        uint64_t now = now_us();
        uint64_t due = begun + (uint64_t)(next / rate * 1e6);
        for (; next < total && due <= now && idle_count; due = begun + (uint64_t)(++next / rate * 1e6))
            send_request(requests[(next + connection_count) % request_count],
                         sizes[(next + connection_count) % request_count], due);
        /* Those that are due and find every connection taken. */
        uint64_t overdue = now > begun ? (uint64_t)((now - begun) * rate / 1e6) : 0;
        if (overdue > total) overdue = total;
        if (!idle_count && overdue > next && overdue > counted) {
            waited += overdue - (counted > next ? counted : next);
            counted = overdue;
        }
        if (next == total && now > begun + (uint64_t)(total / rate * 1e6) + PATIENCE_US) break;
        uint64_t wake = next < total && idle_count ? due : now + 100000;
        take_answers(loop, timer, wake);
    }
    printf("{\"sent\": %lu, \"answered\": %zu, \"not_200\": %lu, \"waited\": %lu, \"first\": %lu", (unsigned long)next,
           latencies.count, (unsigned long)not_200, (unsigned long)waited, (unsigned long)first);
    print_times("latency", &latencies);
    print_times("lag", &lags);
    printf("}\n");
    return 0;
}
