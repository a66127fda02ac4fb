// Loaded before libc: the n-th allocation that a twolane module asks libc for fails. Python's own are _testcapi's business.
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *block, size_t size);

enum { MOST_MODULES = 256 };
static uintptr_t lows[MOST_MODULES], highs[MOST_MODULES];
static int modules;
static long left; // until one fails; 0: none
long no_memory_asked; // by twolane modules, ever

void no_memory_add(uintptr_t low, uintptr_t high) {
    if (modules < MOST_MODULES) {
        lows[modules] = low;
        highs[modules++] = high;
    }
}

void no_memory_fail(long n) { __atomic_store_n(&left, n, __ATOMIC_SEQ_CST); }

static int fails(void *caller) {
    for (int i = 0; i < modules; i++)
        if ((uintptr_t)caller >= lows[i] && (uintptr_t)caller < highs[i]) {
            __atomic_add_fetch(&no_memory_asked, 1, __ATOMIC_SEQ_CST);
            return __atomic_load_n(&left, __ATOMIC_SEQ_CST) > 0 && __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST) == 0;
        }
    return 0;
}

void *malloc(size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size); }
void *realloc(void *block, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size); }
