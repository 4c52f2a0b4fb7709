select dispatch.sweep(50);
