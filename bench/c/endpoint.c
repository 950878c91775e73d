// An endpoint that works for as long as each request says, with few workers and a queue before them.
//
// endpoint PORT NUMBER WORKERS HITS [COLD_MS]
//   accepts on 127.0.0.1:PORT; its answers say `X-Endpoint: NUMBER`
//   a request occupies a worker for `X-Demand` microseconds times the present slowness; no CPU is burnt, a
//   timer runs; while all workers are busy, requests wait in the order of their arrival
//   a request whose connection is lost is worked on all the same, as servers do
//   every request with an `X-Request` number is noted in the file HITS, which outlives the process
//   COLD_MS: three times as slow at the first request, then ever less, until so long after it
// /healthz is answered at once. One thread; one request at a time on each connection, with Content-Length.
//
// Orders come as lines on standard input; its end ends the process.
//   normal          slow FACTOR
//   silent          takes requests and answers nothing      hole   the same, but /healthz still passes
//   fail            answers 500 at once; /healthz passes
//   drain           /healthz fails, and every answer closes its connection
//   leave           accepts no more, closes idle connections, finishes what it has, and ends
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_FILES 65536
#define MOST_EVENTS 256
#define COLD_EXTRA 2.0
#define NO_REQUEST UINT32_MAX

enum mode { NORMAL, SILENT, HOLE, FAIL };

struct connection {
    int fd, length;
    struct job *job;
    char request[8192];
};

struct job {
    struct connection *asked; // NULL when nobody waits for it any more
    uint64_t demand_us, ends_at;
    struct job *next;
};

struct hit {
    uint64_t at_us;
    uint32_t request, unused;
};

struct hits {
    uint64_t count, room;
    struct hit each[];
};

static struct connection *connections[MOST_FILES];
static struct job **workers, *first, **last = &first;
static struct hits *hits;
static int poll_fd, listener, number, worker_count, on = 1;
static int busy, draining, leaving;
static enum mode mode;
static double slowness = 1;
static uint64_t cold_us, first_request_at;

static uint64_t now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

static void stop(const char *what) {
    perror(what);
    exit(1);
}

static void drop(struct connection *it) {
    if (it->job) it->job->asked = NULL;
    close(it->fd);
    connections[it->fd] = NULL;
    free(it);
}

// Gives the connection back for the next request, or closes it.
static void answer(struct connection *it, const char *status) {
    char text[256];
    int closes = draining || leaving;
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nX-Endpoint: %d\r\n"
                          "Content-Length: 3\r\n%s\r\nok\n",
                          status, number, closes ? "Connection: close\r\n" : "");
    if (send(it->fd, text, length, MSG_NOSIGNAL) != length || closes) drop(it);
}

static double present_slowness(uint64_t now) {
    if (!first_request_at) first_request_at = now;
    double age = cold_us ? (double)(now - first_request_at) / cold_us : 1;
    return slowness * (age < 1 ? 1 + COLD_EXTRA * (1 - age) : 1);
}

static void give_work(uint64_t now) {
    for (int i = 0; i < worker_count && first; i++) {
        if (workers[i]) continue;
        struct job *job = first;
        first = job->next;
        if (!first) last = &first;
        job->ends_at = now + job->demand_us * present_slowness(now);
        workers[i] = job;
        busy++;
    }
}

static void finish_work(uint64_t now) {
    for (int i = 0; i < worker_count; i++) {
        struct job *job = workers[i];
        if (!job || job->ends_at > now) continue;
        workers[i] = NULL;
        busy--;
        if (job->asked) {
            job->asked->job = NULL;
            if (mode != SILENT && mode != HOLE) answer(job->asked, "200 OK");
        }
        free(job);
    }
    give_work(now);
}

static uint64_t field(const char *head, const char *name, uint64_t otherwise) {
    const char *found = strcasestr(head, name);
    return found ? strtoull(found + strlen(name), NULL, 10) : otherwise;
}

static void note_hit(uint32_t request, uint64_t now) {
    if (request == NO_REQUEST || hits->count >= hits->room) return;
    hits->each[hits->count] = (struct hit){now, request, 0};
    // The reader must not see a count before what it counts, even if we are killed right here.
    __atomic_store_n(&hits->count, hits->count + 1, __ATOMIC_RELEASE);
}

static void serve(struct connection *it, const char *head) {
    uint64_t now = now_us();
    if (!strncmp(head, "GET /healthz", 12)) {
        if (mode != SILENT) answer(it, draining ? "503 Service Unavailable" : "200 OK");
        return;
    }
    note_hit(field(head, "\nX-Request:", NO_REQUEST), now);
    if (mode == FAIL) return answer(it, "500 Internal Server Error");
    if (mode == SILENT || mode == HOLE) return;
    struct job *job = calloc(1, sizeof *job);
    job->asked = it;
    job->demand_us = field(head, "\nX-Demand:", 0);
    it->job = job;
    *last = job;
    last = &job->next;
    give_work(now);
}

static void receive(struct connection *it) {
    ssize_t got = recv(it->fd, it->request + it->length, sizeof it->request - 1 - it->length, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return drop(it);
    it->length += got;
    it->request[it->length] = 0;
    char *end = strstr(it->request, "\r\n\r\n");
    if (!end) {
        if (it->length == sizeof it->request - 1) drop(it);
        return;
    }
    *end = 0;
    int whole = end + 4 - it->request + field(it->request, "\nContent-Length:", 0);
    *end = '\r';
    if (it->length < whole) return;
    it->length = 0;
    *end = 0;
    serve(it, it->request);
}

static void accept_all(void) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MOST_FILES) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *it = connections[fd] = calloc(1, sizeof *it);
        it->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void leave(void) {
    leaving = 1;
    // What has been connected but not accepted would be reset: it is taken in, and served.
    accept_all();
    close(listener);
    for (int fd = 0; fd < MOST_FILES; fd++) {
        struct connection *it = connections[fd];
        if (it) receive(it);
        if (connections[fd] == it && it && !it->job) drop(it);
    }
}

static void obey(const char *order) {
    double factor;
    if (sscanf(order, "slow %lf", &factor) == 1) slowness = factor;
    else if (!strcmp(order, "normal"))
        mode = NORMAL, slowness = 1;
    else if (!strcmp(order, "silent"))
        mode = SILENT;
    else if (!strcmp(order, "hole"))
        mode = HOLE;
    else if (!strcmp(order, "fail"))
        mode = FAIL;
    else if (!strcmp(order, "drain"))
        draining = 1;
    else if (!strcmp(order, "leave"))
        leave();
    else
        fprintf(stderr, "not an order: %s\n", order), exit(2);
}

static void read_orders(void) {
    static char text[256];
    static int length;
    ssize_t got = read(0, text + length, sizeof text - 1 - length);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) exit(0);
    length += got;
    text[length] = 0;
    for (char *end; (end = strchr(text, '\n'));) {
        *end = 0;
        obey(text);
        length -= end + 1 - text;
        memmove(text, end + 1, length + 1);
    }
}

static void open_listener(int port) {
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) stop("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
}

static void open_hits(const char *path) {
    struct stat about;
    int fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &about)) stop(path);
    hits = mmap(NULL, about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (hits == MAP_FAILED) stop(path);
    hits->room = (about.st_size - sizeof *hits) / sizeof *hits->each;
    close(fd);
}

static void wait_and_take(void) {
    struct epoll_event events[MOST_EVENTS];
    struct timespec until, *timeout = NULL;
    uint64_t now = now_us(), soonest = UINT64_MAX;
    for (int i = 0; i < worker_count; i++)
        if (workers[i] && workers[i]->ends_at < soonest) soonest = workers[i]->ends_at;
    if (busy) {
        uint64_t left = soonest > now ? soonest - now : 0;
        until = (struct timespec){left / 1000000, left % 1000000 * 1000};
        timeout = &until;
    }
    int ready = epoll_pwait2(poll_fd, events, MOST_EVENTS, timeout, NULL);
    finish_work(now_us());
    for (int i = 0; i < ready; i++) {
        int fd = events[i].data.fd;
        if (fd == 0) read_orders();
        else if (fd == listener && !leaving)
            accept_all();
        else if (connections[fd])
            receive(connections[fd]);
    }
}

int main(int count, char **arguments) {
    if (count < 5 || count > 6) return 2;
    number = atoi(arguments[2]);
    worker_count = atoi(arguments[3]);
    if (worker_count < 1) return 2;
    if (count == 6) cold_us = 1000 * atoll(arguments[5]);
    workers = calloc(worker_count, sizeof *workers);
    signal(SIGPIPE, SIG_IGN);
    // A timer of the kernel is up to 50 us late otherwise.
    prctl(PR_SET_TIMERSLACK, 1);
    fcntl(0, F_SETFL, O_NONBLOCK);
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = 0};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &event);
    open_hits(arguments[4]);
    open_listener(atoi(arguments[1]));
    puts("ready");
    fflush(stdout);
    // After leave(), zombie work is not waited for: only what somebody still waits for.
    for (;;) {
        wait_and_take();
        if (!leaving) continue;
        int waited_for = 0;
        for (int fd = 0; fd < MOST_FILES; fd++)
            waited_for += connections[fd] != NULL;
        if (!waited_for) return 0;
    }
}
