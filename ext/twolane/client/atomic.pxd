"""Counters that several threads read and write without a lock, and a lock with a time-out.

Sequentially consistent: in ReportReader one thread raises ``pending_python`` and then reads ``sleeping``, another sets
``sleeping`` and then reads ``pending_python``; one of them must read the other's value on every processor. On x86-64 that costs
nothing more.
"""
from libc.stdint cimport int64_t


cdef extern from * nogil:
    """
    #ifdef _MSC_VER
    #include <intrin.h>
    #define twolane_load(p) _InterlockedOr64((p), 0)
    #define twolane_add(p, n) (_InterlockedExchangeAdd64((p), (n)) + (n))
    #define twolane_store(p, n) _InterlockedExchange64((p), (n))
    #define twolane_swap(p, from, to) (_InterlockedCompareExchange64((p), (to), (from)) == (from))
    #define twolane_fence() do { volatile long at = 0; _InterlockedOr(&at, 0); } while (0)
    #define TWOLANE_PER_THREAD __declspec(thread)
    #else
    #define twolane_load(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
    #define twolane_add(p, n) __atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)
    #define twolane_store(p, n) __atomic_store_n((p), (n), __ATOMIC_SEQ_CST)
    #define twolane_swap(p, from, to) __sync_bool_compare_and_swap((p), (from), (to))
    #define twolane_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    #define TWOLANE_PER_THREAD __thread
    #endif
    #ifdef Py_GIL_DISABLED
    #define twolane_count(p, n) twolane_add((p), (n))
    #else
    #define twolane_count(p, n) (*(p) += (n))
    #endif
    """
    int64_t load "twolane_load"(int64_t* counter)
    int64_t add "twolane_add"(int64_t* counter, int64_t n)     # returns the new value
    void store "twolane_store"(int64_t* counter, int64_t n)
    bint swap "twolane_swap"(int64_t* counter, int64_t old, int64_t new)    # False where it was not `old`
    int64_t count "twolane_count"(int64_t* counter, int64_t n)  # with the GIL where there is one: add() where there is none
    void fence "twolane_fence"()                                # full memory barrier; pairs with the fence on the reading side


cdef extern from "pythread.h" nogil:
    int PyThread_acquire_lock_timed(void*, long long microseconds, int interrupts)
    const int PY_LOCK_ACQUIRED
