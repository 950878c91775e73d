// Both ends of a measurement of UDP: endpoints that echo, and clients with some datagrams in flight each.
//
// datagrams echo FIRST_PORT PORTS     echoes on 127.0.0.1; prints "ready" when it does
// datagrams ask -p PORT [-c CLIENTS] [-d SECONDS] [-s BYTES] [-w DATAGRAMS] [-k]
//   -w  so many datagrams at a time: the next ones when all are answered
//   -k  each datagram from another port: a new client for the balancer
// The clients print one line of JSON. What is not answered within a second is an error, and is asked again.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define LONGEST 2048
#define LONGEST_MICROSECONDS 4000000
#define PATIENCE 1000000000ull

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void stop(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in address(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int watched(int fd, int poll_fd, uint32_t number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event)) stop("socket");
    return fd;
}

static void echo(int fd) {
    static char bytes[BATCH][LONGEST];
    static struct sockaddr_in from[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){bytes[i], LONGEST};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) parts[i].iov_len = messages[i].msg_len;
    for (int sent = 0; sent < count;) {
        int more = sendmmsg(fd, messages + sent, count - sent, 0);
        sent += more > 0 ? more : 1;
    }
}

static void echo_for_ever(int first, int ports) {
    int poll_fd = epoll_create1(0);
    for (int i = 0; i < ports; i++) {
        struct sockaddr_in here = address(first + i);
        int fd = watched(socket(AF_INET, SOCK_DGRAM, 0), poll_fd, i), size = 4 << 20;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &event)) stop("epoll");
        if (bind(fd, (struct sockaddr *)&here, sizeof here)) stop("bind");
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[BATCH];
        int count = epoll_wait(poll_fd, events, BATCH, -1);
        for (int i = 0; i < count; i++) echo(events[i].data.fd);
    }
}

struct client {
    int fd;
    int awaited;
    uint64_t asked;
};

static struct sockaddr_in server;
static char question[LONGEST];
static int size = 64, window = 1, fresh;

static void ask(struct client *it) {
    if (fresh && it->asked) {
        struct sockaddr nobody = {.sa_family = AF_UNSPEC};
        if (connect(it->fd, &nobody, sizeof nobody)) stop("disconnect");
        if (connect(it->fd, (struct sockaddr *)&server, sizeof server)) stop("connect");
    }
    it->asked = now();
    it->awaited = window;
    static struct iovec part;
    static struct mmsghdr messages[BATCH];
    part = (struct iovec){question, size};
    for (int i = 0; i < window; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    // Refusals and full queues show as answers that do not come.
    sendmmsg(it->fd, messages, window, 0);
}

static uint64_t percentile(const uint64_t *slowness, uint64_t count, double share) {
    uint64_t seen = 0, at = 0;
    while (at < LONGEST_MICROSECONDS - 1 && (seen += slowness[at]) < count * share) at++;
    return at;
}

static int ask_for(int clients, double seconds) {
    struct client *all = calloc(clients, sizeof *all);
    uint64_t *slowness = calloc(LONGEST_MICROSECONDS, sizeof *slowness), done = 0, rounds = 0, errors = 0, bytes = 0, longest = 0;
    int poll_fd = epoll_create1(0);
    for (int i = 0; i < clients; i++) {
        all[i].fd = watched(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), poll_fd, i);
        if (connect(all[i].fd, (struct sockaddr *)&server, sizeof server)) stop("connect");
        ask(&all[i]);
    }
    uint64_t began = now(), end = began + seconds * 1e9, looked = began;
    for (uint64_t at = began; at < end;) {
        struct epoll_event events[BATCH];
        int count = epoll_wait(poll_fd, events, BATCH, 100);
        for (int i = 0; i < count; i++) {
            struct client *it = &all[events[i].data.u32];
            char answer[LONGEST];
            int length, came = 0;
            while (came < it->awaited && (length = recv(it->fd, answer, sizeof answer, 0)) >= 0) came++, bytes += length;
            done += came;
            it->awaited -= came;
            if (it->awaited) continue;
            uint64_t took = (now() - it->asked) / 1000;
            if (took >= LONGEST_MICROSECONDS) took = LONGEST_MICROSECONDS - 1;
            if (took > longest) longest = took;
            slowness[took]++;
            rounds++;
            ask(it);
        }
        at = now();
        if (at - looked > PATIENCE / 4) {
            looked = at;
            for (int i = 0; i < clients; i++) {
                if (at - all[i].asked > PATIENCE) errors++, ask(&all[i]);
            }
        }
    }
    printf("{\"requests\": %lu, \"seconds\": %.6f, \"errors\": %lu, \"bytes\": %lu, \"p50_us\": %lu, \"p99_us\": %lu, "
           "\"max_us\": %lu}\n",
           done, (now() - began) / 1e9, errors, bytes, percentile(slowness, rounds, 0.5),
           percentile(slowness, rounds, 0.99), longest);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 4 && !strcmp(arguments[1], "echo")) echo_for_ever(atoi(arguments[2]), atoi(arguments[3]));
    int clients = 64, option;
    double seconds = 1;
    server = address(0);
    while ((option = getopt(count - 1, arguments + 1, "p:c:d:s:w:k")) != -1) {
        if (option == 'p') server.sin_port = htons(atoi(optarg));
        else if (option == 'c') clients = atoi(optarg);
        else if (option == 'd') seconds = atof(optarg);
        else if (option == 's') size = atoi(optarg) < LONGEST ? atoi(optarg) : LONGEST;
        else if (option == 'w') window = atoi(optarg) < BATCH ? atoi(optarg) : BATCH;
        else if (option == 'k') fresh = 1;
        else return 2;
    }
    return ask_for(clients, seconds);
}
